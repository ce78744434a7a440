"""scikit-learn's SimpleImputer of numbers in ONNX, with the values that it fills in to their last digit: ONNX's own knows float32 alone."""

from __future__ import annotations

from typing import Any

import numpy as np


def converters() -> dict[str, dict[type, Any]]:
    """What `convert_sklearn` is given to convert imputers by."""
    from skl2onnx.shape_calculators.imputer import calculate_sklearn_imputer_output_shapes
    from sklearn.impute import SimpleImputer

    return {
        "custom_conversion_functions": {SimpleImputer: _imputer},
        "custom_shape_calculators": {SimpleImputer: calculate_sklearn_imputer_output_shapes},
    }


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from skl2onnx.operator_converters.common import concatenate_variables
    from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

    imputer, kind = operator.raw_operator, type(operator.inputs[0].type)
    if imputer.add_indicator:
        raise NotImplementedError("SimpleImputer with add_indicator has no equal")
    if kind not in (DoubleTensorType, FloatTensorType) or not _is_nan(imputer.missing_values) or np.isnan(imputer.statistics_).any():
        convert_sklearn_imputer(scope, operator, container)
        return
    several = len(operator.inputs) > 1
    given = concatenate_variables(scope, operator.inputs, container) if several else operator.inputs[0].full_name
    number = TensorProto.DOUBLE if kind is DoubleTensorType else TensorProto.FLOAT
    filled, unknown = scope.get_unique_variable_name("filled"), scope.get_unique_variable_name("unknown")
    values = np.asarray(imputer.statistics_, np.float64 if kind is DoubleTensorType else np.float32)
    container.add_initializer(filled, number, [1, len(values)], values.tolist())
    container.add_node("IsNaN", [given], [unknown], name=scope.get_unique_operator_name("IsNaN"), op_version=13)
    names = [unknown, filled, given], [operator.outputs[0].full_name]
    container.add_node("Where", *names, name=scope.get_unique_operator_name("Where"), op_version=9)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))
