"""The harness of storms: clients that take steps at random for a while, each answer judged by a model."""
