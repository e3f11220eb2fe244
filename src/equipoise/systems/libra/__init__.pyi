import equipoise.core.rooms

from .board import Board as Board
from .board import build_board as build_board
from .board_page import add_board as add_board
from .board_page import board_csv as board_csv
from .board_page import board_report as board_report
from .board_page import board_text as board_text
from .board_rows import BoardRow as BoardRow
from .cache import Cache as Cache
from .config import LibraConfig as LibraConfig
from .contender_file import load_contenders as load_contenders
from .contenders import BackendContender as BackendContender
from .contenders import Contender as Contender
from .contenders import Reply as Reply
from .contenders import ScriptedContender as ScriptedContender
from .contenders import default_contenders as default_contenders
from .importing import apply_map as apply_map
from .importing import import_results as import_results
from .plots import plot_forest as plot_forest
from .plots import plot_heat_map as plot_heat_map
from .plots import plot_scatter as plot_scatter
from .rating import rate_counts as rate_counts
from .rating import rate_file as rate_file
from .runner import Limits as Limits
from .runner import evaluate as evaluate

ROOM: equipoise.core.rooms.Room
