"""From an order to its files, with somebody watching: sent or resumed, followed, told how it went and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from imagegen.delivery import Downloads
from imagegen.following import Following
from imagegen.gateway import Gateway
from imagegen.orders import Order
from imagegen.outcomes import ClientError, Interrupted, Refused, Unreachable
from imagegen.session import Session
from imagegen.showing import Progressing, emit, notice, show_result


def place(
    session: Session,
    gateway: Gateway,
    order: Order,
    *,
    leave: bool = False,
    told: Callable[[Refused], str] = lambda refused: refused.message,
) -> int:
    """Send a new order and fetch its pictures, or `leave` it; return the exit code. `told` puts a refusal into the caller's own words."""
    with session.files.held(order.id), _followed(session, gateway, order) as following:
        try:
            known = following.place(order)
        except Refused as exc:
            exc.message = told(exc)
            raise
        what = f"batch {known.batch_id}" if known.batch_id else f"job {', '.join(known.job_ids)}"
        if leave:
            _show_left(session, known, what)
            return 0
        if not session.as_json:
            notice(f"Order {order.id}: {what}")
        result = following.finish(known)
    show_result(result, as_json=session.as_json)
    return int(result.exit_code)


def resumed(session: Session, order_id: str) -> int:
    """Finish an order of this machine; return the exit code."""
    session.check_caller(session.files.load(order_id))
    with session.files.held(order_id):
        order = session.files.load(order_id)
        with session.gateway(order.server) as gateway, _followed(session, gateway, order) as following:
            result = following.finish(following.sent(order))
    show_result(result, as_json=session.as_json)
    return int(result.exit_code)


def _show_left(session: Session, order: Order, what: str) -> None:
    if session.as_json:
        ids = {"batchId": order.batch_id, "jobIds": order.job_ids} if order.is_batch else {"jobId": order.job_ids[0]}
        emit({"success": True, "exitCode": 0, "orderId": order.id, **ids, "status": "pending"})
    else:
        notice(f"Order {order.id}: {what}. Get its pictures with: imagegen resume {order.id}")


@contextmanager
def _followed(session: Session, gateway: Gateway, order: Order) -> Iterator[Following]:
    """Follow an order; whatever ends that early says how to go on."""
    hint = f"Go on with: imagegen resume {order.id}"
    try:
        with closing(Downloads()) as downloads, Progressing(shown=not session.as_json) as display:
            yield Following(gateway=gateway, files=session.files, downloads=downloads, display=display)
    except KeyboardInterrupt as exc:
        error: ClientError = Interrupted(f"Interrupted; the order goes on at the server. {hint}, stop it with: imagegen cancel {order.id}")
        error.order_id = order.id
        raise error from exc
    except Unreachable as exc:
        exc.order_id, exc.message = order.id, f"{exc.message}. {hint}"
        raise
    except Refused as exc:
        if session.files.has(order.id):
            exc.order_id = order.id
            exc.message = f"{exc.message}. The order is kept. {hint}, or give it up: imagegen resume --forget {order.id}"
        raise
