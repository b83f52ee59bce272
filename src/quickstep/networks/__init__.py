"""Networks: the families to distil, and the frozen encoders round them."""
