"""The web app's own generations: text to image, and from a reference image with a focus mode. Both become orders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from attrs import define

from app.domain.asset import REFERENCE_PREFIX, Upload
from app.domain.endpoint import OrderHook
from app.domain.errors import CallerError, FieldError, InvalidRequest, NotFound, ReferenceNotFound
from app.domain.job import Operation, WebDetails
from app.services.money.funds import Funds
from app.services.orders.order import Order, OrderKey
from app.services.orders.submit import Accepted, Orders
from app.services.people.uploads import SideLimits, Uploads
from registry.loader import PromptTemplates, Registry
from registry.operations import OperationSpec

MIN_PROMPT_CHARS, MAX_PROMPT_CHARS = 5, 2000
ASPECT_RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4")
REFERENCE_SIDES = SideLimits(32, 4096)

_SCRIPT = re.compile(r"<\s*script\b[^>]*>.*?<\s*/\s*script\s*>", re.IGNORECASE | re.DOTALL)
_STRAY_TAG = re.compile(r"<\s*/?\s*script\b[^>]*>?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    prompt: str
    aspect_ratio: str
    number_of_images: int
    key: OrderKey | None = None
    project_id: str | None = None
    retain_days: int | None = None
    template_id: str | None = None
    model: str | None = None
    hook: OrderHook | None = None


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """Exactly one of `image` and `reference_image_id` is given."""

    prompt: str
    reference_type: str
    aspect_ratio: str
    number_of_images: int
    key: OrderKey | None = None
    project_id: str | None = None
    retain_days: int | None = None
    image: IO[bytes] | None = None
    file_name: str | None = None
    reference_image_id: str | None = None
    hook: OrderHook | None = None


@define(eq=False, slots=False, kw_only=True)
class WebGeneration:
    _orders: Orders
    _uploads: Uploads
    _funds: Funds
    _registry: Registry
    _operations: Mapping[str, OperationSpec]
    _templates: PromptTemplates

    def text_to_image(self, user_id: str, wanted: TextRequest) -> Accepted:
        """Order pictures from words alone. Raises InvalidRequest, InsufficientTokens."""
        spec = self._operations[Operation.TEXT_TO_IMAGE]
        prompt = clean_prompt(wanted.prompt)
        web = WebDetails(
            operation_type_id=spec.id,
            prompt=prompt,
            enhanced_prompt=self._templated(prompt, wanted.template_id),
            aspect_ratio=wanted.aspect_ratio,
            template_id=wanted.template_id,
        )
        model = self._text_model(wanted.model or spec.model or "")
        return self._ordered(user_id, Operation.TEXT_TO_IMAGE, model, web, wanted)

    def image_reference(self, user_id: str, wanted: ReferenceRequest) -> Accepted:
        """Order pictures after a reference image. Raises InvalidRequest, ReferenceNotFound, InsufficientTokens.

        Nothing is stored for an order that is refused: balance and words are checked before the picture is kept.
        """
        if replayed := self._orders.replayed(wanted.key):
            return replayed
        spec = self._operations[Operation.IMAGE_REFERENCE]
        prompt = clean_prompt(wanted.prompt)
        self._funds.require_tokens(user_id, spec.tokens_per_image * wanted.number_of_images)
        kept_here, reference = self._reference(user_id, wanted)
        web = WebDetails(
            operation_type_id=spec.id,
            prompt=prompt,
            enhanced_prompt=self._templates.focus(wanted.reference_type).enhance(prompt),
            aspect_ratio=wanted.aspect_ratio,
            reference_type=wanted.reference_type,
            reference_image_id=reference.id,
        )
        try:
            return self._ordered(user_id, Operation.IMAGE_REFERENCE, spec.model or "", web, wanted)
        except CallerError:
            if kept_here:
                self._uploads.discard_new(reference)
            raise

    def _reference(self, user_id: str, wanted: ReferenceRequest) -> tuple[bool, Upload]:
        """Return the reference picture, and whether it was stored just now."""
        if wanted.image is not None:
            kept = self._uploads.keep(user_id, wanted.image, sides=REFERENCE_SIDES, file_name=wanted.file_name, for_order=True)
            return kept.is_new, kept.upload
        try:
            return False, self._uploads.get(wanted.reference_image_id or "", user_id=user_id)
        except NotFound as exc:
            raise ReferenceNotFound from exc

    def _ordered(self, user_id: str, operation: Operation, model: str, web: WebDetails, wanted: TextRequest | ReferenceRequest) -> Accepted:
        inputs: dict[str, object] = {"prompt": web.enhanced_prompt}
        if web.reference_image_id:
            inputs["image_urls"] = [REFERENCE_PREFIX + web.reference_image_id]
        order = Order(
            model=model,
            inputs=inputs,
            options={"aspect_ratio": web.aspect_ratio, "num_images": wanted.number_of_images},
            user_id=user_id,
            operation=operation,
            project_id=wanted.project_id,
            retain_days=wanted.retain_days,
            key=wanted.key,
            web=web,
            hook=wanted.hook,
            pays_tokens=True,
        )
        return self._orders.submit(order)

    def _text_model(self, name: str) -> str:
        """Return the model's name if it draws from words alone. Unknown names are refused by the order itself."""
        spec = self._registry.get(name)
        if spec is not None and spec.category != "text-to-image":
            valid = ", ".join(s.name for s in self._registry if s.category == "text-to-image")
            detail = f"{name} does not draw from text alone. Allowed: {valid}"
            raise InvalidRequest(f"model: {detail}", [FieldError("/model", detail)])
        return name

    def _templated(self, prompt: str, template_id: str | None) -> str:
        if template_id is None:
            return prompt
        template = self._templates.get(template_id)
        if template is None:
            known = ", ".join(t.id for t in self._templates.templates)
            detail = f"No such template. Allowed: {known}"
            raise InvalidRequest(f"promptTemplateId: {detail}", [FieldError("/promptTemplateId", detail)])
        return template.enhance(prompt)


def clean_prompt(text: str) -> str:
    """Return the prompt without script tags. Raises InvalidRequest unless 5 to 2000 characters remain.

    Repeated until nothing changes: removing a tag must not join two halves into another one.
    """
    cleaned, before = text[: MAX_PROMPT_CHARS + 1], None
    while cleaned != before:
        before = cleaned
        cleaned = _STRAY_TAG.sub("", _SCRIPT.sub("", cleaned))
    cleaned = cleaned.strip()
    if len(cleaned) < MIN_PROMPT_CHARS or len(text) > MAX_PROMPT_CHARS:
        detail = f"Prompt must be {MIN_PROMPT_CHARS}-{MAX_PROMPT_CHARS} characters"
        raise InvalidRequest(detail, [FieldError("/prompt", detail)])
    return cleaned
