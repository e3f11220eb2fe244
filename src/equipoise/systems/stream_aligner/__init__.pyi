import equipoise.core.rooms

from .aligning import align as align
from .aligning import align_stream as align_stream
from .config import StreamAlignerConfig as StreamAlignerConfig
from .copying import copy_decode as copy_decode
from .correction import Correction as Correction
from .correction import DiffOp as DiffOp
from .correction import diff_ops as diff_ops
from .correctors import chain as chain
from .correctors import make_corrector as make_corrector
from .evaluation.judging import compare_in_both_orders as compare_in_both_orders
from .evaluation.judging import improvement_rate as improvement_rate
from .evaluation.judging import parse_verdict as parse_verdict
from .latency import pipeline_period as pipeline_period
from .latency import simulate_pipeline as simulate_pipeline
from .loop import Answer as Answer
from .loop import Step as Step
from .objective import arithmetic_accuracy as arithmetic_accuracy
from .objective import correction_loss as correction_loss
from .objective import induced_kernel as induced_kernel
from .objective import induction as induction
from .prompts import build_example as build_example
from .prompts import corrector_prompt as corrector_prompt
from .proxy.app import create_app as create_app
from .proxy.config import ProxyConfig as ProxyConfig
from .segments import Segment as Segment
from .segments import Segmenter as Segmenter
from .segments import first_sentence as first_sentence
from .segments import segment as segment
from .upstreams import upstream_from_backend as upstream_from_backend

ROOM: equipoise.core.rooms.Room
