"""VDA 5050 on the wire: what each version writes otherwise than the internal model, and no more.

The internal model (:mod:`agent.vda5050.messages`) has the shape of 2.1.0 and what 3.0 knows beyond
it. A module per version lists its differences, each with the section that makes it one;
:mod:`agent.vda5050.wire.difference` has the kinds there are, and :mod:`agent.vda5050.wire.version`
applies them to JSON trees on the way out and in.
"""
