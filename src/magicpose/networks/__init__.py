"""The paper's networks around stock diffusers ones; a reader of the paper starts here."""
