"""Encoders and the scores computed over their features."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.metrics.class_balance import ClassBalance as ClassBalance
    from thaw.metrics.encoders import ClassifierEncoder as ClassifierEncoder
    from thaw.metrics.encoders import Encoder as Encoder
    from thaw.metrics.encoders import load_encoder as load_encoder
    from thaw.metrics.fid import FrechetDistance as FrechetDistance
    from thaw.metrics.fitting import fit_reference as fit_reference
    from thaw.metrics.frechet import frechet_distance as frechet_distance
    from thaw.metrics.frechet import moments as moments
    from thaw.metrics.inception import InceptionEncoder as InceptionEncoder
    from thaw.metrics.inception_score import InceptionScore as InceptionScore
    from thaw.metrics.kid import KernelDistance as KernelDistance
    from thaw.metrics.precision_recall import PrecisionRecall as PrecisionRecall
    from thaw.metrics.reference import Reference as Reference
    from thaw.metrics.restored import RestorationScores as RestorationScores
    from thaw.metrics.restored import ssim as ssim
    from thaw.metrics.suite import ScoreSuite as ScoreSuite
    from thaw.metrics.table import GENERATED as GENERATED
    from thaw.metrics.table import RESTORED as RESTORED
    from thaw.metrics.table import Score as Score
else:
    # The table of scores is read where torch is not imported.
    from thaw.exports import exports

    __getattr__, __dir__ = exports(__name__)
