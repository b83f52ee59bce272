"""Animation: a picture and a dance in, a video out. The pipeline is `animator.Animator`."""
