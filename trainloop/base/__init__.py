"""What any wing may need: output, strict JSON, seeds, stand-ins, user errors.

Enters: values of Python, functions of TensorFlow and Keras. Leaves: small
helpers that know nothing of models, data or runs. `output` and `strict_json`
work without TensorFlow, so scripts show errors before its import.

May import: kernels.
"""
