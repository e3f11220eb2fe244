import equipoise.core.rooms

from .classifier import RFLAFClassifier as RFLAFClassifier
from .compression import leverage_scores as leverage_scores
from .config import RFLAFConfig as RFLAFConfig
from .data import make_synthetic as make_synthetic
from .datasets import load_dataset as load_dataset
from .kernel import ActivationKernel as ActivationKernel
from .lan import LAN as LAN
from .lan import LearnableActivation as LearnableActivation
from .objective import Basis as Basis
from .objective import activation as activation
from .objective import activation_kernel as activation_kernel
from .objective import balance_penalty as balance_penalty
from .objective import basis_kernel as basis_kernel
from .objective import basis_mean as basis_mean
from .objective import features as features
from .objective import loss_gradient as loss_gradient
from .persistence import load_model as load_model
from .persistence import save_model as save_model
from .regressor import RFLAFRegressor as RFLAFRegressor
from .ridge import leave_one_out as leave_one_out
from .shards import fit_shards as fit_shards
from .statistics import LiftedStatistics as LiftedStatistics
from .table import ActivationTable as ActivationTable
from .transformer import RFLAFTransformer as RFLAFTransformer
from .varpro import reduced_objective as reduced_objective

ROOM: equipoise.core.rooms.Room
