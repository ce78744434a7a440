"""The protobuf messages of the gRPC services, from their published field numbers, in a pool of their own.

- Open Inference Protocol v2, `inference.GRPCInferenceService` (https://github.com/kserve/open-inference-protocol)
- health checking, `grpc.health.v1` (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)
- server reflection, `grpc.reflection.v1` and `v1alpha` (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# message → "number name type", `*` for repeated, `<>` for a map from text, `|` for a member of a `oneof`
Fields = Mapping[str, str]

INFERENCE: Fields = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions *string",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "ModelMetadataResponse": "1 name string, 2 versions *string, 3 platform string, 4 inputs *TensorMetadata, 5 outputs *TensorMetadata",
    "ModelMetadataResponse.TensorMetadata": "1 name string, 2 datatype string, 3 shape *int64",
    "InferParameter": "1 bool_param |bool, 2 int64_param |int64, 3 string_param |string, 4 double_param |double, 5 uint64_param |uint64",
    "InferTensorContents": "1 bool_contents *bool, 2 int_contents *int32, 3 int64_contents *int64, 4 uint_contents *uint32, "
    "5 uint64_contents *uint64, 6 fp32_contents *float, 7 fp64_contents *double, 8 bytes_contents *bytes",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 4 parameters <>InferParameter, "
    "5 inputs *InferInputTensor, 6 outputs *InferRequestedOutputTensor, 7 raw_input_contents *bytes",
    "ModelInferRequest.InferInputTensor": "1 name string, 2 datatype string, 3 shape *int64, 4 parameters <>InferParameter, "
    "5 contents InferTensorContents",
    "ModelInferRequest.InferRequestedOutputTensor": "1 name string, 2 parameters <>InferParameter",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 4 parameters <>InferParameter, "
    "5 outputs *InferOutputTensor, 6 raw_output_contents *bytes",
    "ModelInferResponse.InferOutputTensor": "1 name string, 2 datatype string, 3 shape *int64, 4 parameters <>InferParameter, "
    "5 contents InferTensorContents",
    "ModelStreamInferResponse": "1 error_message string, 2 infer_response ModelInferResponse",
}
HEALTH: Fields = {"HealthCheckRequest": "1 service string", "HealthCheckResponse": "1 status int32"}
REFLECTION: Fields = {
    "ServerReflectionRequest": "1 host string, 3 file_by_filename |string, 4 file_containing_symbol |string, "
    "5 file_containing_extension |ExtensionRequest, 6 all_extension_numbers_of_type |string, 7 list_services |string",
    "ExtensionRequest": "1 containing_type string, 2 extension_number int32",
    "ServerReflectionResponse": "1 valid_host string, 2 original_request ServerReflectionRequest, "
    "4 file_descriptor_response |FileDescriptorResponse, 5 all_extension_numbers_response |ExtensionNumberResponse, "
    "6 list_services_response |ListServiceResponse, 7 error_response |ErrorResponse",
    "FileDescriptorResponse": "1 file_descriptor_proto *bytes",
    "ExtensionNumberResponse": "1 base_type_name string, 2 extension_number *int32",
    "ListServiceResponse": "1 service *ServiceResponse",
    "ServiceResponse": "1 name string",
    "ErrorResponse": "1 error_code int32, 2 error_message string",
}
INFERENCE_SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
REFLECTION_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
INFERENCE_METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
STREAM_INFER = "ModelStreamInfer"  # of Triton's service, which is otherwise this one

_Field = descriptor_pb2.FieldDescriptorProto


class Messages:
    """Message classes by name, of one package."""

    def __init__(self, package: str, fields: Fields, pool: Any) -> None:
        self._package, self._pool = package, pool
        file = descriptor_pb2.FileDescriptorProto(name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3")
        made: dict[str, Any] = {}
        for name, text in fields.items():
            parent, _, own = name.rpartition(".")
            message = made[parent].nested_type.add(name=own) if parent else file.message_type.add(name=own)
            made[name] = message
            for field in filter(None, text.split(", ")):
                _add_field(message, f".{package}.{name}", field.split(" "), package, fields, name)
        _add_service(file, package)
        self.file = file
        pool.Add(file)

    def __getitem__(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"{self._package}.{name}"))


def _add_field(message: Any, path: str, words: list[str], package: str, fields: Fields, inside: str) -> None:
    number, name, kind = words
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("<>"):
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
        value = entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_MESSAGE)
        value.type_name = f".{package}.{kind[2:]}"
        field.label, field.type, field.type_name = _Field.LABEL_REPEATED, _Field.TYPE_MESSAGE, f"{path}.{entry.name}"
        return
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    if kind.startswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    kind = kind.lstrip("*|")
    nested = f"{inside}.{kind}"
    if nested in fields or kind in fields:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{nested if nested in fields else kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


def _add_service(file: Any, package: str) -> None:
    if package == "inference":
        service = file.service.add(name="GRPCInferenceService")
        for name in INFERENCE_METHODS:
            service.method.add(name=name, input_type=f".inference.{name}Request", output_type=f".inference.{name}Response")
        kinds = {"input_type": ".inference.ModelInferRequest", "output_type": ".inference.ModelStreamInferResponse"}
        service.method.add(name=STREAM_INFER, **kinds, client_streaming=True, server_streaming=True)
    elif package == "grpc.health.v1":
        service = file.service.add(name="Health")
        for name in ("Check", "Watch"):
            kinds = {"input_type": f".{package}.HealthCheckRequest", "output_type": f".{package}.HealthCheckResponse"}
            service.method.add(name=name, **kinds, server_streaming=name == "Watch")
    else:
        kinds = {"input_type": f".{package}.ServerReflectionRequest", "output_type": f".{package}.ServerReflectionResponse"}
        service = file.service.add(name="ServerReflection")
        service.method.add(name="ServerReflectionInfo", **kinds, client_streaming=True, server_streaming=True)


_POOL = descriptor_pool.DescriptorPool()
inference = Messages("inference", INFERENCE, _POOL)
health = Messages("grpc.health.v1", HEALTH, _POOL)
reflection = {
    f"{package}.ServerReflection": Messages(package, REFLECTION, _POOL) for package in ("grpc.reflection.v1", "grpc.reflection.v1alpha")
}
FILES = {messages.file.name: messages.file.SerializeToString() for messages in (inference, health, *reflection.values())}
SERVICES = {
    INFERENCE_SERVICE: inference.file.name,
    HEALTH_SERVICE: health.file.name,
    **{service: messages.file.name for service, messages in reflection.items()},
}
