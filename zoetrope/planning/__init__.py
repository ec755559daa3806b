"""What stages cost before anything runs: operations counted on tensors without data, priced by what a device can do."""
