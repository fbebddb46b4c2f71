"""The LightningModule and its callbacks: steps, logging and files, no arithmetic."""
