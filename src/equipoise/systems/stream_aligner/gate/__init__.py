"""The learned gate: sentences that are surely right skip the corrector."""
