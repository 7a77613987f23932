"""Base classes of the image-to-image networks: their common fields and layers."""

import flax.linen as nn
import jax
from flax.typing import Dtype

from jaxgan.models import layers
from jaxgan.models.convolutions import strided
from jaxgan.models.translation import image_layers


class ImageNetwork(nn.Module, kw_only=True):
    """A network, or a block of one, with one kind of norm and of initialiser.

    Attributes:
        norm: one of `image_layers.NORMS`.
        initializer: of the kernels, one of `image_layers.INITIALIZERS`.
        gain: scale of the initialiser.
        axis_name: axis of devices over which BatchNorm takes its statistics.
        dtype: type to compute in; None promotes inputs and parameters.
    """

    norm: str
    initializer: str
    gain: float
    axis_name: str | None = None
    dtype: Dtype | None = None

    def conv(
        self,
        features: int,
        size: int,
        name: str,
        *,
        stride: int = 1,
        padding: int = 0,
        use_bias: bool | None = None,
        is_last: bool = False,
    ) -> nn.Conv:
        """Return a convolution, [b, h, w, c] to [b, h', w', features].

        Args:
            features: number of output channels.
            size: of the square kernel.
            name: of the layer and its parameters.
            stride: 1 or 2.
            padding: zeros on every side. Explicit, because 'SAME' differs from
                PyTorch's padding for half of these layers
                (docs/papers.md, "CycleGAN: padding").
            use_bias: None follows `image_layers.has_bias_before`.
            is_last: of the network, which then computes in float32 at least.
        """
        return layers.conv(
            features,
            size,
            image_layers.kernel_init(self.initializer, self.gain),
            stride=stride,
            padding=((padding, padding), (padding, padding)),
            use_bias=self.has_bias(use_bias),
            dtype=None if is_last else self.dtype,
            name=name,
        )

    def has_bias(self, use_bias: bool | None) -> bool:
        """Return `use_bias`; None gives the rule for this network's norm."""
        return image_layers.has_bias_before(self.norm) if use_bias is None else use_bias

    def normalise(self, inputs: jax.Array, train: bool, name: str) -> jax.Array:
        """Apply the norm to [b, h, w, c]; `train` uses the batch's statistics."""
        if self.norm == "none":
            return inputs
        if self.norm == "instance":
            return image_layers.instance_norm(inputs)
        return layers.batch_norm(
            train,
            scale_init=layers.batch_norm_scale,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=name,
        )(inputs)


class ImageGenerator(ImageNetwork, kw_only=True):
    """A generator: images of one domain to images of another.

    Attributes:
        channels: of the images that it makes.
        width: number of channels after the first convolution.
        dropout: whether it has dropout of 1/2.
        upsample: one of `image_layers.UPSAMPLINGS`.
    """

    channels: int
    width: int
    dropout: bool
    upsample: str

    def double_side(
        self,
        inputs: jax.Array,
        features: int,
        size: int,
        name: str,
        *,
        use_bias: bool | None = None,
        is_last: bool = False,
    ) -> jax.Array:
        """Upsample and convolve: [b, h, w, c] to [b, 2 h, 2 w, features].

        upsample 'transposed' is the official code's transposed convolution, of `size` 3
        or 4. 'resize' is what its authors advise against checkerboard artifacts
        (qa.md): bilinear upsampling, reflection padding of 1, a 3x3 convolution.
        The other arguments are those of `conv`.
        """
        if self.upsample == "resize":
            x = image_layers.upsample_bilinear(inputs)
            x = image_layers.pad(x, 1, "reflect")
            return self.conv(features, 3, name, use_bias=use_bias, is_last=is_last)(x)
        return strided.ConvTranspose(
            features,
            size,
            image_layers.kernel_init(self.initializer, self.gain, transposed=True),
            use_bias=self.has_bias(use_bias),
            dtype=None if is_last else self.dtype,
            padding=image_layers.TRANSPOSED_PADDING[size],
            name=name,
        )(inputs)
