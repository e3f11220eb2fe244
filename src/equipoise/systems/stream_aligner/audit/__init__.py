"""What was reviewed: events, the audit file, its report and the live page."""
