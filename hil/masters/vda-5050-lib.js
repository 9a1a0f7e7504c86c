// A drive of the bench with MasterController of the npm package vda-5050-lib (VDA 5050 2.0).
//
//     NODE_PATH=DIRECTORY/node_modules node vda-5050-lib.js DRIVE.json
//
// DRIVE.json says which broker, which robot and which nodes; see hil/masters/drive.py. Every event
// is one JSON object a line on stdout. The exit status is 0 once all steps have gone as they must.
"use strict";

const fs = require("fs");
const { ActionStatus, BlockingType, MasterController, Topic, createUuid } = require("vda-5050-lib");

const drive = JSON.parse(fs.readFileSync(process.argv[2], "utf-8"));
const robot = { manufacturer: drive.manufacturer, serialNumber: drive.serial_number };
const STEP_MS = 60000;
const UNDER_WAY_MS = 1500;

function tell(step, what, fields = {}) {
    process.stdout.write(JSON.stringify({ step, what, ...fields }) + "\n");
}

function within(promise, name) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${name}: nothing within ${STEP_MS} ms`)), STEP_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function must(holds, text) {
    if (!holds) {
        throw new Error(text);
    }
}

function node(station, index, released, actions = []) {
    return {
        nodeId: station.node_id,
        sequenceId: 2 * index,
        released,
        nodePosition: {
            x: station.x_m,
            y: station.y_m,
            mapId: drive.map_id,
            allowedDeviationXY: drive.deviation_m,
        },
        actions,
    };
}

function edge(start, end, index, released) {
    return {
        edgeId: `${start.node_id}-${end.node_id}`,
        sequenceId: 2 * index + 1,
        released,
        startNodeId: start.node_id,
        endNodeId: end.node_id,
        actions: [],
    };
}

// Nodes from number `first` on, of which those up to number `base` are released.
function order(orderId, orderUpdateId, stations, first, base, actions = {}) {
    const nodes = [];
    const edges = [];
    for (let i = first; i < stations.length; i++) {
        nodes.push(node(stations[i], i, i <= base, actions[i]));
        if (i > first) {
            edges.push(edge(stations[i - 1], stations[i], i - 1, i <= base));
        }
    }
    return { orderId, orderUpdateId, nodes, edges };
}

class Drive {
    constructor() {
        this.master = new MasterController(
            {
                interfaceName: drive.interface_name,
                transport: { brokerUrl: `mqtt://${drive.host}:${drive.port}`, connectTimeout: 5000 },
                vdaVersion: "2.0.0",
            },
            { targetAgvs: robot },
        );
        this.state = undefined;
        this.states = 0;
        this.waiting = [];
    }

    async start() {
        await this.master.start();
        const online = new Promise(resolve => {
            this.master.trackAgvs((agv, connection) => {
                tell("connect", "connection", { state: connection, serial: agv.serialNumber });
                if (connection === "ONLINE") {
                    resolve();
                }
            });
        });
        await this.master.subscribe(Topic.State, robot, state => {
            this.state = state;
            this.states++;
            this.waiting = this.waiting.filter(wait => !wait(state));
        });
        const factsheet = new Promise(resolve => {
            this.master.subscribe(Topic.Factsheet, robot, sheet => resolve(sheet));
        });
        await within(online, "online");
        const sheet = await within(factsheet, "factsheet");
        tell("connect", "factsheet", { actions: sheet.protocolFeatures.agvActions.length });
        // States come on events; who has just come asks for one.
        await this.act("connect", "stateRequest");
        await this.until(state => state.agvPosition && state.agvPosition.positionInitialized);
    }

    async underWay() {
        await this.until(state => state.driving);
        await new Promise(resolve => setTimeout(resolve, UNDER_WAY_MS));
    }

    until(holds) {
        if (this.state && holds(this.state)) {
            return Promise.resolve();
        }
        const come = new Promise(resolve => {
            this.waiting.push(state => holds(state) && (resolve(), true));
        });
        return within(come, "state");
    }

    // Have an action performed at once; resolves with its last state and the error beside it.
    async act(step, actionType, parameters = {}) {
        const action = {
            actionType,
            actionId: createUuid(),
            blockingType: BlockingType.None,
            actionParameters: Object.entries(parameters).map(([key, value]) => ({ key, value })),
        };
        return within(
            new Promise((resolve, reject) => {
                const handler = {
                    onActionStateChanged: (state, error) => {
                        const fields = { action: actionType, status: state.actionStatus };
                        tell(step, "onActionStateChanged", error ? { ...fields, error: error.errorType } : fields);
                        if ([ActionStatus.Finished, ActionStatus.Failed].includes(state.actionStatus)) {
                            resolve({ status: state.actionStatus, error });
                        }
                    },
                    onActionError: error => {
                        tell(step, "onActionError", { action: actionType, error: error.errorType });
                        resolve({ status: "REFUSED", error });
                    },
                };
                this.master.initiateInstantActions(robot, { instantActions: [action] }, handler).catch(reject);
            }),
            actionType,
        );
    }

    // Send an order; resolves once it is processed or refused. `onNode` is told every node.
    assign(step, message, onNode = () => undefined) {
        return within(
            new Promise((resolve, reject) => {
                const handler = {
                    onOrderProcessed: (error, byCancelation, active) => {
                        tell(step, "onOrderProcessed", {
                            update: message.orderUpdateId,
                            byCancelation,
                            active,
                            error: error && error.errorType,
                        });
                        if (!active) {
                            resolve({ error, byCancelation });
                        }
                    },
                    onNodeTraversed: reached => {
                        tell(step, "onNodeTraversed", { node: reached.nodeId });
                        onNode(reached.nodeId);
                    },
                    onEdgeTraversed: left => tell(step, "onEdgeTraversed", { edge: left.edgeId }),
                    onActionStateChanged: (state, error, action) =>
                        tell(step, "onActionStateChanged", { action: action.actionType, status: state.actionStatus }),
                };
                this.master
                    .assignOrder(robot, message, handler)
                    .then(sent => must(sent !== undefined, "the order was discarded"))
                    .catch(reject);
            }),
            step,
        );
    }

    here(nodeId) {
        const { x, y } = this.state.agvPosition;
        return { node_id: nodeId, x_m: x, y_m: y };
    }
}

async function initPosition(bench) {
    const { x, y, theta, mapId } = bench.state.agvPosition;
    const pose = { x: x + 0.1, y, theta, mapId, lastNodeId: drive.stations[0].node_id };
    const { status } = await bench.act("init position", "initPosition", pose);
    must(status === ActionStatus.Finished, `initPosition is ${status}`);
    must(bench.state.lastNodeId === drive.stations[0].node_id, "lastNodeId is not taken over");
}

async function orderWithUpdate(bench) {
    const stations = drive.stations;
    const work = {
        1: [{
            actionType: drive.action_type,
            actionId: createUuid(),
            blockingType: BlockingType.Hard,
            actionParameters: [],
        }],
    };
    const id = createUuid();
    const seen = [];
    const ended = new Promise((resolve, reject) => {
        const onNode = name => {
            seen.push(name);
            if (name === stations[1].node_id) {
                const rest = order(id, 1, stations, 2, stations.length - 1);
                bench.assign("order update", rest, other => seen.push(other)).then(resolve, reject);
            }
        };
        // An update takes the place of what it extends: only the newest ends.
        bench.assign("order", order(id, 0, stations, 0, 2, work), onNode).catch(() => undefined);
    });
    const { error } = await within(ended, "order update");
    must(!error, "the order was refused");
    const names = stations.map(station => station.node_id);
    must(JSON.stringify(seen) === JSON.stringify(names), `nodes traversed: ${seen}`);
    must(bench.state.orderUpdateId === 1, "the update is not at hand");
    must(bench.state.errors.length === 0, "errors remain");
}

async function cancelled(bench) {
    const start = bench.here("here");
    const far = { ...start, node_id: "far", x_m: start.x_m + drive.far_m };
    const ended = bench.assign("cancel", order(createUuid(), 0, [start, far], 0, 1));
    await bench.underWay();
    const { status } = await bench.act("cancel", "cancelOrder");
    must(status === ActionStatus.Finished, `cancelOrder is ${status}`);
    const { byCancelation } = await ended;
    must(byCancelation, "the order did not end by its cancelation");
    must(!bench.state.driving && bench.state.nodeStates.length === 0, "the robot goes on");
    const again = await bench.act("cancel", "cancelOrder");
    must(again.status === ActionStatus.Failed, `cancelOrder without an order is ${again.status}`);
    must(again.error && again.error.errorType === "noOrderToCancel", "its error does not reach the handler");
}

async function paused(bench) {
    const start = bench.here("here");
    const next = { ...start, node_id: "next", x_m: start.x_m + 3.0 };
    const ended = bench.assign("pause", order(createUuid(), 0, [start, next], 0, 1));
    await bench.underWay();
    must((await bench.act("pause", "startPause")).status === ActionStatus.Finished, "startPause failed");
    must(bench.state.paused && !bench.state.driving, "it is not paused");
    must((await bench.act("pause", "stopPause")).status === ActionStatus.Finished, "stopPause failed");
    must(!(await ended).error, "the order did not end");
}

async function refused(bench) {
    const there = { node_id: "there", x_m: drive.stations[0].x_m - 9.0, y_m: drive.stations[0].y_m };
    const on = { ...there, node_id: "on", x_m: there.x_m + 1.0 };
    const far = await bench.assign("rejection", order(createUuid(), 0, [there, on], 0, 1));
    must(far.error && far.error.errorType === "noRouteError", "no noRouteError for a start out of reach");
    const start = bench.here("here");
    const next = { ...start, node_id: "next", x_m: start.x_m + 1.0 };
    const unknown = { actionType: "dance", actionId: createUuid(), blockingType: BlockingType.Hard };
    const action = await bench.assign("rejection", order(createUuid(), 0, [start, next], 0, 1, { 1: [unknown] }));
    must(action.error && action.error.errorType === "orderError", "no orderError for an unknown action");
    const dance = await bench.act("rejection", "dance");
    must(dance.error !== undefined, "no error for an unknown instant action");
    must(bench.state.nodeStates.length === 0 && !bench.state.driving, "a refused order is driven");
}

async function main() {
    const bench = new Drive();
    try {
        await bench.start();
        for (const step of [initPosition, orderWithUpdate, paused, cancelled, refused]) {
            await step(bench);
        }
        tell("end", "passed", { states: bench.states });
    } catch (error) {
        tell("end", "failed", { reason: error.message });
        process.exitCode = 1;
    } finally {
        await bench.master.stop();
    }
}

process.on("uncaughtException", error => {
    tell("end", "failed", { reason: `uncaught: ${error.message}` });
    process.exit(1);
});
main().then(() => process.exit());
