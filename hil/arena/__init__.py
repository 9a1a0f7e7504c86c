"""Obstacle courses on which avoidance is judged: BARN, DynaBARN and courses of one's own."""
