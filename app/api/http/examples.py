"""Example bodies of `/api-docs`; a test executes every one of them."""

from __future__ import annotations

from typing import Any


def _example(summary: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "value": value}


#: A black square on white, of 32 pixels a side: nobody's ids are known here, and every example can be sent as it stands.
SMALL_PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAAHklEQVR42mP8z8DAwMRAkGD4z8Dwnwh1xBKMRNoLAMLmBDkTU6JN"
    "AAAAAElFTkSuQmCC"
)

NOTES = {"spring": _example("A favorite, with a tag", {"favorite": True, "tags": ["spring"]})}
ARCHIVE = {"one": _example("One picture", {"imageIds": ["01a1fbd9-22ff-77bc-adcb-c0f03fbb7664"]})}
GENERATE = {
    "textToImage": _example(
        "Text to image",
        {
            "model": "flux-pro",
            "inputs": {"prompt": "A professional headshot of a business consultant"},
            "userId": "user123",
        },
    ),
    "edit": _example(
        "Edit an image",
        {
            "model": "nano-banana-edit",
            "inputs": {
                "prompt": "Transform this billboard for an SEO workshop",
                "image_urls": [SMALL_PICTURE],
            },
            "options": {"aspect_ratio": "9:16", "resolution": "2K"},
            "userId": "user123",
        },
    ),
    "lora": _example(
        "A custom LoRA",
        {
            "model": "flux-lora",
            "inputs": {
                "prompt": "Professional headshot of jf in a suit",
                "loras": [{"path": "https://your-bucket.example.com/model.safetensors", "scale": 0.8}],
            },
            "options": {"width": 1024, "height": 1024},
            "userId": "user123",
        },
    ),
}

USER_TOPUP = {"gift": _example("A gift", {"amount": 500, "notes": "a gift", "idempotencyKey": "gift-2026-11"})}
RETRIES = {"say": _example("Say what it would cost", {"filter": {"q": "code:provider_unavailable"}, "maxCost": 5.0})}
ADMIN_RETRY = {"operator": _example("At the operator's expense", {"payer": "operator"})}

ESTIMATE = {
    "tenImages": _example("Ten images", {"model": "flux-pro", "options": {"num_images": 10}}),
}

TEXT_TO_IMAGE = {
    "lighthouse": _example("Two images", {"prompt": "A lighthouse at dusk", "aspectRatio": "16:9", "numberOfImages": 2}),
}

#: The form's: its picture is a file, which only its sender has.
REFERENCE_FORM = {
    "prompt": "Transform into cyberpunk style",
    "referenceType": "full_image",
    "aspectRatio": "16:9",
    "numberOfImages": 1,
}
IMAGE_REFERENCE = {"picture": _example("A picture as a data URI", {"image": SMALL_PICTURE, **REFERENCE_FORM})}

#: The id is of a user: put in your own.
TOPUP = {
    "invoice": _example(
        "After a payment",
        {
            "userId": "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8",
            "amount": 500,
            "notes": "Invoice 17",
            "idempotencyKey": "invoice-17",
        },
    ),
}

BATCH_ESTIMATE = {
    "twoOrders": _example(
        "Two orders",
        {
            "items": [
                {"model": "flux-pro", "inputs": {"prompt": "A lighthouse at dusk"}},
                {"model": "flux-dev", "inputs": {"prompt": "A lighthouse at dawn"}, "options": {"num_images": 2}},
            ],
            "userId": "user123",
        },
    ),
}

BATCH = {
    "twoModels": _example(
        "Two pictures, with two models",
        {
            "items": [
                {"model": "flux-pro", "inputs": {"prompt": "A lighthouse at dusk"}},
                {"model": "flux-dev", "inputs": {"prompt": "A lighthouse at dawn"}, "options": {"num_images": 2}},
            ],
            "userId": "user123",
            "maxCost": 1.5,
            "metadata": {"campaign": "autumn"},
        },
    ),
}

WEBHOOK = {
    "jobs": _example(
        "Every end of a job", {"url": "http://localhost:8099/hooks", "events": ["job.completed", "job.failed", "job.canceled"]}
    ),
}
WEBHOOK_CHANGE = {"all": _example("Hear of everything", {"events": ["*"], "status": "enabled"})}
WEBHOOK_TEST = {"test": _example("A test", {})}
ROTATION = {"day": _example("Both secrets sign for a day", {"overlapHours": 24})}
RECOVERY = {"since": _example("What failed since October", {"since": "2026-10-01T00:00:00Z"})}

RETRY = {"asBefore": _example("With the webhook of the first, if it had one", {})}

RECONCILE = {"november": _example("The orders of some days", {"since": "2026-11-01", "until": "2026-11-08"})}
MODEL_IMPORT = {"krea": _example("Look at the file that would be made", {"endpoint": "fal-ai/flux/krea"})}

BUDGET = {
    "user": _example("25 USD a month for a user", {"userId": "user123", "monthly": 25.0}),
}

OPENAI_GENERATION = {
    "alias": _example("By a name of OpenAI's", {"model": "gpt-image-1", "prompt": "A lighthouse at dusk", "size": "1024x1024"}),
    "model": _example(
        "With an option of the model",
        {"model": "flux-dev", "prompt": "A lighthouse at dawn", "n": 2, "response_format": "url", "seed": 7},
    ),
}

OPENAI_EDIT = {
    "url": _example(
        "Edit an image at a URL",
        {"model": "nano-banana-edit", "prompt": "Make it night", "image": "https://your-template.jpg", "quality": "high"},
    ),
}
