"""Methods: LightningModules that own the networks, the update order and the optimizers."""
