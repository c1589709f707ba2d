"""A model behind any OpenAI-compatible endpoint, reached through LangChain's ``ChatOpenAI``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agents.llm.model import ModelFailure, Reply, Request, ToolCall
from agents.llm.settings import ModelSettings

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

_BUSY = frozenset({408, 409, 425, 429})
"""Status codes after which the same request may succeed (besides all from 500 on)."""


class OpenAIModel:
    """Asks an endpoint once; whoever calls decides whether to try again.

    Args:
        settings: where it is.
    """

    def __init__(self, settings: ModelSettings) -> None:
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        self._settings = settings
        # Retries are ours: the client's own would sleep past the limit on seconds.
        self._chat = ChatOpenAI(
            model=settings.model,
            base_url=settings.base_url or None,
            api_key=SecretStr(settings.key or "none"),
            temperature=0.0,
            timeout=settings.timeout_s,
            max_retries=0,
        )

    @property
    def name(self) -> str:
        """The model's name at its endpoint."""
        return self._settings.model

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key, and a password in the address."""
        return self._settings.secrets

    def money(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost; 0 if the price is not known."""
        return self._settings.money(tokens_in, tokens_out)

    def answer(self, request: Request) -> Reply:
        """The reply.

        Raises:
            ModelFailure: the endpoint refused, failed, timed out, or sent no answer.
        """
        import openai

        try:
            message = self._chat.bind(**_options(request, self._settings)).invoke(
                [dict(m) for m in request.messages]
            )
        except openai.LengthFinishReasonError as error:
            return _cut(error.completion)
        except openai.APITimeoutError as error:
            raise ModelFailure("the model did not answer in time", again=True) from error
        except openai.APIConnectionError as error:
            raise ModelFailure(f"no connection to {self._settings.place}", again=True) from error
        except openai.APIStatusError as error:
            raise self._refusal(error) from error
        except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError) as error:
            # What a server may send instead of a completion has no end; none of it is ours.
            kind = type(error).__name__
            raise ModelFailure(f"the endpoint's answer cannot be read ({kind})") from error
        return _reply(message)

    def _refusal(self, error: Any) -> ModelFailure:
        status = int(error.status_code)
        again = status in _BUSY or status >= 500
        text = f"the endpoint answered {status}"
        if status in (401, 403):
            text += ": the key is not accepted"
        elif status == 404:
            text += f": no model {self.name!r} there, or a wrong base URL"
        elif not again:
            text += f": {str(error.message)[:300]}"
        return ModelFailure(text, again=again, after_s=_seconds(error.response.headers))


def _options(request: Request, settings: ModelSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "timeout": min(request.timeout_s, settings.timeout_s),
    }
    if settings.base_url:
        # The client renames the limit to the provider's newest name; others' servers know this.
        options["extra_body"] = {"max_tokens": request.max_tokens}
    if request.tools:
        options["tools"] = [{"type": "function", "function": dict(t)} for t in request.tools]
    if request.schema is not None:
        schema = {"name": "action", "schema": dict(request.schema)}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    return options


def _reply(message: AIMessage) -> Reply:
    calls = [ToolCall(c["name"], c["args"], c["id"] or "") for c in message.tool_calls]
    calls += [
        ToolCall(c["name"] or "", None, c["id"] or "", (c["args"] or "")[:400])
        for c in message.invalid_tool_calls
    ]
    usage = message.usage_metadata
    return Reply(
        text=message.text,
        calls=tuple(calls),
        tokens_in=usage["input_tokens"] if usage else None,
        tokens_out=usage["output_tokens"] if usage else None,
        cut=message.response_metadata.get("finish_reason") == "length",
    )


def _cut(completion: Any) -> Reply:
    usage = completion.usage
    return Reply(
        text=completion.choices[0].message.content or "",
        tokens_in=usage.prompt_tokens if usage else None,
        tokens_out=usage.completion_tokens if usage else None,
        cut=True,
    )


def _seconds(headers: Mapping[str, str]) -> float | None:
    try:
        value = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return value if 0 <= value < 1e6 else None
