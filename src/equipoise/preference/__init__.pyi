from . import comparisons as comparisons
from . import ratings as ratings
