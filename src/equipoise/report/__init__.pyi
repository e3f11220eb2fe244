from .document import Report as Report
from .figures import figure_svg as figure_svg
from .figures import new_figure as new_figure
from .run_page import complete_report as complete_report
from .run_page import render_run as render_run
from .run_page import run_html as run_html
from .video import write_video as write_video
