"""Networks (x_t, t) -> [B, C, H, W], in torch alone."""

from thaw.networks.cnn import CNN as CNN
from thaw.networks.dit import DiT as DiT
from thaw.networks.embeddings import TimeEmbedding as TimeEmbedding
from thaw.networks.patch_unet import PatchUNet as PatchUNet
from thaw.networks.unet import UNet as UNet
