"""A drive of the bench with MasterClient of the PyPI package vda5050-sdk (VDA 5050 2.1).

::

    PYTHONPATH=DIRECTORY python vda5050_sdk.py DRIVE.json

DRIVE.json says which broker, which robot and which nodes; see :mod:`hil.masters.drive`. Every event
is one JSON object a line on stdout. The exit status is 0 once all steps have gone as they must.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vda5050 import (
    Action,
    ActionParameter,
    BaseRequestStrategy,
    BlockingType,
    MasterClient,
    MasterConfig,
    OrderBuilder,
)

STEP_S = 60.0
PIECE = 3


class StepFailed(Exception):
    """Something did not go as it must; the text says what."""


def tell(step: str, what: str, **fields: Any) -> None:
    """Write an event of the transcript."""
    sys.stdout.write(json.dumps({"step": step, "what": what, **fields}) + "\n")
    sys.stdout.flush()


def must(holds: bool, text: str) -> None:
    """Raise StepFailed unless something holds."""
    if not holds:
        raise StepFailed(text)


def _more_than(client: Any, states: int) -> Callable[[Any], bool]:
    return lambda session: bool(client.metrics.states_received > states)


class Drive:
    """All steps with one robot."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._robot = f"{plan['manufacturer']}/{plan['serial_number']}"
        self._step = "connect"
        self._nodes: list[str] = []
        self._client = MasterClient(
            MasterConfig(
                broker_url=f"mqtt://{plan['host']}:{plan['port']}",
                validate_messages=True,
                visualization=True,
            )
        )
        self._refusals: list[Any] = []
        self._vehicle_errors: list[Any] = []
        self._orders = 0

    async def run(self) -> None:
        """Take all steps; raises StepFailed."""
        client = self._client
        client.on_connection(
            lambda c, key: tell(self._step, "on_connection", state=c.connection_state.value)
        )
        client.on_factsheet(lambda f, key: tell(self._step, "on_factsheet", series=f.version))
        client.on_error(lambda e: self._refusals.append(e))
        client.on_vehicle_error(self._on_vehicle_error)
        client.on_state(self._on_state)
        async with client:
            await self._until(lambda s: s.connected and client.capabilities(self._robot), "online")
            for _ in range(2):  # by the client's own id both times, which the robot has to bear
                before = client.metrics.states_received
                await client.request_state(self._robot)
                await self._until(_more_than(client, before), "the state asked for")
            await self._until(self._localized, "localized")
            for step in (
                self._init_position,
                self._order_grows,
                self._order_with_actions,
                self._paused,
                self._cancelled,
                self._refused,
            ):
                self._step = step.__name__.strip("_").replace("_", " ")
                await step()
            must(not self._refusals, f"messages refused by the client: {self._refusals}")
            tell("end", "passed", **client.metrics_snapshot())

    def _on_vehicle_error(self, event: Any, key: Any) -> None:
        self._vehicle_errors.append(event)
        tell(
            self._step,
            "on_vehicle_error",
            type=event.error.error_type,
            level=event.error.error_level.value,
            order=event.order_id,
            rejection=event.is_order_rejection,
        )

    def _on_state(self, state: Any, key: Any) -> None:
        if state.last_node_id and self._nodes[-1:] != [state.last_node_id]:
            self._nodes.append(state.last_node_id)
            tell(
                self._step,
                "on_state",
                node=state.last_node_id,
                order=state.order_id,
                update=state.order_update_id,
            )

    @staticmethod
    def _localized(session: Any) -> bool:
        state = session.state
        return bool(state and state.agv_position and state.agv_position.position_initialized)

    async def _until(self, holds: Callable[[Any], bool], what: str) -> Any:
        met = await self._client.wait_for(self._robot, holds, timeout=STEP_S)
        must(met, f"not within {STEP_S:.0f} s: {what}")
        session = await self._client.session(self._robot)
        return session.state

    async def _state(self) -> Any:
        session = await self._client.session(self._robot)
        return session.state

    async def _act(self, action_id: str) -> str:
        """Wait for the end of an action; returns its status."""
        await self._client.wait_for_action(self._robot, action_id, timeout=STEP_S)
        state = await self._state()
        status = next(
            (s.action_status.value for s in state.action_states if s.action_id == action_id),
            "UNKNOWN",
        )
        tell(self._step, "wait_for_action", action=action_id, status=status)
        return status

    def _builder(self) -> Any:
        self._orders += 1
        plan = self._plan
        return OrderBuilder(
            order_id=f"sdk-{self._orders}",
            manufacturer=plan["manufacturer"],
            serial_number=plan["serial_number"],
        )

    def _add(self, builder: Any, station: dict[str, Any], **more: Any) -> None:
        plan = self._plan
        names = builder.node_ids()
        if names:
            released = more.get("released", True)
            builder.add_edge(names[-1], station["node_id"], released=released)
        builder.add_node(
            station["node_id"],
            x=station["x_m"],
            y=station["y_m"],
            map_id=station.get("map_id", plan["map_id"]),
            allowed_deviation_xy=plan["deviation_m"],
            **more,
        )

    async def _here(self) -> dict[str, Any]:
        position = (await self._state()).agv_position
        return {"node_id": "here", "x_m": position.x, "y_m": position.y}

    async def _send(self, builder: Any) -> Any:
        order = builder.build()
        result = await self._client.dispatch(order, self._robot)
        tell(self._step, "dispatch", order=order.order_id, decision=result.decision.value)
        must(result.accepted, f"dispatch: {result.detail}")
        return order

    async def _end(self, order: Any, node_id: str) -> None:
        await self._until(
            lambda s: (
                s.state.order_id == order.order_id
                and s.state.last_node_id == node_id
                and not s.state.driving
                and not s.is_busy
            ),
            f"the end of {order.order_id}",
        )

    async def _init_position(self) -> None:
        at = (await self._state()).agv_position
        first = self._plan["stations"][0]["node_id"]
        action = await self._client.init_position(
            self._robot,
            x=at.x + 0.1,
            y=at.y,
            theta=at.theta,
            map_id=at.map_id,
            last_node_id=first,
        )
        must(await self._act(action) == "FINISHED", "initPosition is not FINISHED")
        must((await self._state()).last_node_id == first, "lastNodeId is not taken over")

    async def _order_grows(self) -> None:
        """Release a base of two nodes; the client extends it whenever the robot asks.

        It looks for the moment in which the robot begins to ask, and releases enough for it to
        stop asking.
        """
        stations = self._plan["stations"]
        here = await self._here()
        way = [here, *(s for s in stations[1:])]
        builder = self._builder()
        for i, station in enumerate(way):
            self._add(builder, station, released=i <= 1)
        order = await self._send(builder)
        released = 1

        def more(key: Any) -> Any:
            nonlocal released
            update = self._builder()
            start, released = released, min(released + PIECE, len(way) - 1)
            for i, station in enumerate(way[start:], start):
                self._add(update, station, released=i <= released)
            tail = update.build(validate=False)
            tell(self._step, "extend_base", to=way[released]["node_id"])
            return tail.nodes[1:], tail.edges

        failures: list[Exception] = []
        strategy = BaseRequestStrategy(
            self._client, loader=more, on_error=lambda key, error: failures.append(error)
        )
        strategy.start()
        before = len(self._nodes)
        await self._end(order, way[-1]["node_id"])
        must(not failures, f"extend_base: {failures}")
        seen = self._nodes[before:]
        names = [station["node_id"] for station in way]
        must([n for n in names if n in seen] == [n for n in seen if n in names], f"nodes: {seen}")
        must(not [n for n in names[1:] if n not in seen], f"nodes missing of {names}: {seen}")

    async def _order_with_actions(self) -> None:
        here = await self._here()
        builder = self._builder()
        self._add(builder, here)
        for i, kind in enumerate(("pick", "drop"), 1):
            action = Action(
                action_type=kind,
                action_id=f"{kind}-{self._orders}",
                blocking_type=BlockingType.HARD,
                action_parameters=[ActionParameter(key="loadId", value="crate-7")],
            )
            there = {"node_id": f"{kind}-here", "x_m": here["x_m"] + i, "y_m": here["y_m"]}
            self._add(builder, there, actions=[action])
        order = await self._send(builder)
        await self._until(
            lambda s: any(load.load_id == "crate-7" for load in s.state.loads or ()), "a load"
        )
        tell(self._step, "loads", load="crate-7")
        await self._end(order, "drop-here")
        state = await self._state()
        must(not state.loads, "the load is still there")
        must(
            [s.action_status.value for s in state.action_states if s.action_id[4:5] == "-"]
            == ["FINISHED", "FINISHED"],
            "actions are not FINISHED",
        )

    async def _paused(self) -> None:
        """Pause twice: the client gives both actions the same id."""
        here = await self._here()
        builder = self._builder()
        self._add(builder, here)
        self._add(builder, here | {"node_id": "next", "x_m": here["x_m"] + 4.0})
        order = await self._send(builder)
        for turn in range(2):
            await self._until(lambda s: s.state.driving, "driving")
            await self._client.pause(self._robot)
            await self._until(lambda s: s.state.paused and not s.state.driving, "a pause")
            tell(self._step, "pause", turn=turn)
            await self._client.resume(self._robot)
            await self._until(lambda s: not s.state.paused, "the end of the pause")
            tell(self._step, "resume", turn=turn)
        await self._end(order, "next")

    async def _cancelled(self) -> None:
        for turn in range(2):
            here = await self._here()
            builder = self._builder()
            self._add(builder, here)
            far_m = here["x_m"] + self._plan["far_m"]
            self._add(builder, here | {"node_id": "far", "x_m": far_m})
            await self._send(builder)
            await self._until(lambda s: s.state.driving and s.state.node_states, "driving")
            await self._client.cancel_order(self._robot)
            await self._until(
                lambda s: not s.state.driving and not s.is_busy, "the order cancelled"
            )
            must(await self._act("cancel-order") == "FINISHED", "cancelOrder is not FINISHED")
            tell(self._step, "cancel_order", turn=turn)

    async def _refused(self) -> None:
        here = await self._here()
        self._vehicle_errors.clear()
        builder = self._builder()
        self._add(builder, here)
        self._add(builder, here | {"node_id": "elsewhere", "map_id": "attic"})
        await self._send(builder)
        await self._until(lambda s: bool(self._vehicle_errors), "a rejection")
        event = self._vehicle_errors[0]
        must(event.is_order_rejection, f"{event.error.error_type} is not taken for a rejection")
        must(event.order_id == f"sdk-{self._orders}", "the rejection names another order")
        builder = self._builder()
        self._add(builder, here)
        dance = Action(action_type="dance", action_id="d", blocking_type=BlockingType.HARD)
        self._add(builder, here | {"node_id": "next"}, actions=[dance])
        result = await self._client.dispatch(builder.build(), self._robot)
        tell(self._step, "dispatch", decision=result.decision.value, detail=result.detail)
        must(not result.accepted, "the factsheet does not keep it from asking for a dance")


def main(arguments: list[str]) -> int:
    """Run all steps; returns the exit status."""
    plan = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        asyncio.run(Drive(plan).run())
    except StepFailed as error:
        tell("end", "failed", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
