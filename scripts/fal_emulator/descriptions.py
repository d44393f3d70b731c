"""What fal says of its endpoints, as data: what each takes, in the shape of its OpenAPI documents, and what a unit costs. No HTTP here.

Fields, limits, defaults and prices are those fal's pages gave by October 2026.
"""

from typing import Any

from scripts.fal_emulator import endpoints

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
PROMPT: Schema = {
    "type": "string",
    "title": "Prompt",
    "description": "The prompt to generate an image from.",
    "examples": ["a red bicycle"],
}
SEED: Schema = {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "The same seed and prompt give the same image."}
NO, YES = {"type": "boolean", "default": False}, {"type": "boolean", "default": True}
NUM_IMAGES: Schema = {"type": "integer", "minimum": 1, "maximum": 4, "default": 1}
IMAGE_SIZE: Schema = {
    "anyOf": [{"$ref": "#/components/schemas/ImageSize"}, {"enum": list(endpoints.PRESETS), "type": "string"}],
    "title": "Image Size",
    "description": "The size of the generated image.",
    "default": "landscape_4_3",
}
LORAS: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/LoraWeight"}, "default": []}


def _one_of(*values: str, default: str) -> Schema:
    return {"type": "string", "enum": list(values), "default": default}


def _number(kind: str, low: float, high: float, default: float) -> Schema:
    return {"type": kind, "minimum": low, "maximum": high, "default": default}


FORMAT = _one_of("jpeg", "png", default="jpeg")
SAFETY = ("1", "2", "3", "4", "5", "6")
_COMMON = {"prompt": PROMPT, "seed": SEED, "num_images": NUM_IMAGES, "sync_mode": NO}
_FLUX = {**_COMMON, "guidance_scale": _number("number", 1, 20, 3.5), "enable_safety_checker": YES, "output_format": FORMAT}
_USUAL = {**_COMMON, "image_size": IMAGE_SIZE, "output_format": FORMAT}
_NANO = {
    "prompt": {**PROMPT, "minLength": 3, "maxLength": 50000},
    "image_urls": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 14},
    **{name: _COMMON[name] for name in ("seed", "num_images", "sync_mode")},
    "aspect_ratio": _one_of("auto", *endpoints.ASPECT_RATIOS, default="auto"),
    "resolution": _one_of("1K", "2K", "4K", default="1K"),
    "output_format": _one_of("jpeg", "png", "webp", default="png"),
    "safety_tolerance": _one_of(*SAFETY, default="4"),
    "limit_generations": YES,
    "enable_web_search": NO,
    "system_prompt": TEXT,
}
_INPUTS: dict[str, Schema] = {
    "fal-ai/nano-banana-pro/edit": _NANO,
    "fal-ai/flux-pro/v1.1": {**_USUAL, "safety_tolerance": _one_of(*SAFETY, default="2"), "enhance_prompt": NO},
    "fal-ai/flux/dev": {
        **_FLUX,
        "image_size": IMAGE_SIZE,
        "num_inference_steps": _number("integer", 1, 50, 28),
        "acceleration": _one_of("none", "regular", "high", default="none"),
    },
    "fal-ai/flux-lora": {
        **_FLUX,
        "image_size": IMAGE_SIZE,
        "loras": LORAS,
        "guidance_scale": _number("number", 0, 35, 3.5),
        "num_inference_steps": _number("integer", 1, 50, 28),
        "acceleration": _one_of("none", "regular", default="none"),
    },
    "fal-ai/flux/dev/image-to-image": {
        "image_url": TEXT,
        **_FLUX,
        "strength": _number("number", 0.01, 1, 0.95),
        "num_inference_steps": _number("integer", 10, 50, 40),
        "acceleration": _one_of("none", "regular", "high", default="none"),
    },
    "fal-ai/face-swap": {"base_image_url": TEXT, "swap_image_url": TEXT},
}
#: USD for a unit, and the unit as fal names it.
_PRICES = {
    "fal-ai/nano-banana-pro/edit": (0.15, "images"),
    "fal-ai/flux-pro/v1.1": (0.04, "megapixels"),
    "fal-ai/flux/dev": (0.025, "megapixels"),
    "fal-ai/flux/krea": (0.025, "megapixels"),
    "fal-ai/flux-lora": (0.035, "megapixels"),
    "fal-ai/flux/dev/image-to-image": (0.03, "megapixels"),
    "fal-ai/face-swap": (0.02, "images"),
}
_USUAL_PRICE = (0.03, "megapixels")


def price_of(endpoint: str) -> tuple[float, str] | None:
    """Return USD and unit; None: there is no such endpoint."""
    return _PRICES.get(endpoint, _USUAL_PRICE) if endpoints.find(endpoint) else None


def document_of(endpoint: str) -> Schema | None:
    """Return an endpoint's OpenAPI document; of one that is not among those above, a usual one; None: there is no such endpoint."""
    spec = endpoints.find(endpoint)
    if spec is None:
        return None
    is_swap = spec.shape == "swap"
    category = "image-to-image" if any("image" in name for name in spec.required) else "text-to-image"
    return openapi(endpoint, _INPUTS.get(endpoint, _USUAL), list(spec.required), output="image" if is_swap else "images", category=category)


#: What the schemas of every endpoint name.
_SHARED_SCHEMAS: dict[str, Any] = {
    "QueueStatus": {"type": "object", "required": ["status", "request_id"], "properties": {"status": {"type": "string"}}},
    "Image": {"title": "Image", "type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
    "ImageSize": {
        "title": "ImageSize",
        "type": "object",
        "properties": {
            "height": {"type": "integer", "default": 512, "exclusiveMinimum": True, "minimum": 0, "maximum": 14142},
            "width": {"type": "integer", "default": 512, "exclusiveMinimum": True, "minimum": 0, "maximum": 14142},
        },
    },
    "LoraWeight": {
        "title": "LoraWeight",
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "URL or the path to the LoRA weights."},
            "scale": {"type": "number", "minimum": 0, "maximum": 4, "default": 1},
        },
        "required": ["path"],
    },
}


def openapi(
    endpoint: str, properties: dict[str, Any], required: list[str], *, output: str = "images", category: str = "text-to-image"
) -> dict[str, Any]:
    """Return an endpoint's document in the shape that fal generates."""
    picture = {"$ref": "#/components/schemas/Image"}
    result = {"images": {"type": "array", "items": picture}, "image": picture, "video": {"type": "object"}}[output]
    model_input = {
        "title": "ModelInput",
        "type": "object",
        "properties": properties,
        "required": required,
        "x-fal-order-properties": list(properties),
    }
    model_output = {"title": "ModelOutput", "type": "object", "properties": {output: result}, "required": [output]}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {endpoint}",
            "version": "1.0.0",
            "description": f"The OpenAPI schema for the {endpoint} queue.",
            "x-fal-metadata": {
                "endpointId": endpoint,
                "category": category,
                "playgroundUrl": f"https://fal.ai/models/{endpoint}",
                "documentationUrl": f"https://fal.ai/models/{endpoint}/api",
            },
        },
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "schemas": {**_SHARED_SCHEMAS, "ModelInput": model_input, "ModelOutput": model_output},
        },
        "paths": _paths(endpoint),
        "servers": [{"url": "https://queue.fal.run"}],
        "security": [{"apiKeyAuth": []}],
    }


def _paths(endpoint: str) -> dict[str, Any]:
    def json_of(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    request = f"/{endpoint}/requests/{{request_id}}"
    return {
        f"{request}/status": {"get": {"responses": {"200": {"content": json_of("QueueStatus")}}}},
        f"{request}/cancel": {"put": {"responses": {"200": {"description": "Canceled."}}}},
        f"/{endpoint}": {
            "post": {
                "requestBody": {"required": True, "content": json_of("ModelInput")},
                "responses": {"200": {"content": json_of("QueueStatus")}},
            }
        },
        request: {"get": {"responses": {"200": {"content": json_of("ModelOutput")}}}},
    }
