"""Networks as Flax Linen modules. They know no loss, optimizer or GAN."""
