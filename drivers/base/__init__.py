"""Motor controllers, one module per wire protocol."""
