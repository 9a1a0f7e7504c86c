"""initPosition on a node, as in an elevator (2.1, section 6.8; 3.0, section 6.2.3.1)."""

from agent.errors import MessageInvalid, PoseNotSet
from agent.geometry.pose import Pose2
from agent.positioning import Outcome, PoseRequest
from agent.vda5050.actions.handler import (
    Handler,
    NodeStated,
    PoseStated,
    Progress,
    failed,
    finished,
)
from agent.vda5050.actions.registry import ActionKind, Parameter
from agent.vda5050.messages import (
    Action,
    ActionScope,
    ActionStatus,
    InitPosition,
    ValueType,
    read_parameters,
)
from agent.vda5050.situation import Situation

INITIALIZING = ActionStatus.INITIALIZING


class StatePosition(Handler):
    """Tells the robot where it is, and waits until it has found itself there."""

    def start(self, action: Action, now_ns: int) -> None:
        """Take the pose."""
        del now_ns
        self._wanted = read_parameters(InitPosition, action)
        self._request = stated_by(action, self._wanted)
        self._is_asked = False

    def step(self, situation: Situation) -> Progress:
        """Ask, then take the answer."""
        if not self._is_asked:
            self._is_asked = True
            return Progress(INITIALIZING, None, (PoseStated(self._request),))
        for answer in situation.pose_answers:
            if answer.request_id != self._request.request_id:
                continue
            if answer.outcome is Outcome.DONE:
                return finished(None, NodeStated(self._wanted.last_node_id))
            if answer.outcome is Outcome.FAILED:
                return failed(answer.reason, PoseNotSet(answer.reason))
        return Progress(INITIALIZING)


def stated_by(action: Action, wanted: InitPosition) -> PoseRequest:
    """Return what an action asks of localization."""
    pose = Pose2(wanted.x, wanted.y, wanted.theta) @ Pose2.identity()
    return PoseRequest(f"initPosition {action.action_id}", pose, wanted.map_id)


def _problem(action: Action) -> str | None:
    try:
        read_parameters(InitPosition, action)
    except MessageInvalid as error:
        return error.detail
    return None


INIT_POSITION = ActionKind(
    action_type="initPosition",
    description="Tells the robot where it is; finished when it has found itself there.",
    scopes=(ActionScope.NODE,),
    build=StatePosition,
    parameters=(
        *(Parameter(key, (ValueType.FLOAT,)) for key in ("x", "y", "theta")),
        *(Parameter(key, (ValueType.STRING,)) for key in ("mapId", "lastNodeId")),
    ),
    pause_allowed=False,
    stands_alone=True,
    repeatable=True,
    check=_problem,
)
