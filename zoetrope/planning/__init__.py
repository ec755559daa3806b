"""The cost of stages before anything runs: operations counted on tensors without data, times the speed of a device."""
