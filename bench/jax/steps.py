"""Trains the workloads of bench/synthetic in JAX: the same networks, batches, loss and optimizer.

Prints JSON lines: first the versions, then when steps were done, as bench/bare does.
"""

import argparse
import functools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

CLASSES = 10
DISTINCT = 8  # batches that take turns; each is handed over from the host's memory in each step
WARM = 100  # steps before timing begins

# batch, input of one example, units of the hidden layers
WORKLOADS = {
    "cnn-8": (64, (8, 8, 1), (128,)),
    "cnn-32": (256, (32, 32, 3), (128,)),
    "mlp-4096": (1024, (784,), (4096, 4096)),
}


def initial(seed, shape, hidden):
    """Parameters as a list of (weights, biases): the convolutions first, if the input is an image."""
    random = np.random.default_rng(seed)
    shapes = []
    features = shape[0]
    if len(shape) == 3:
        height, width, channels = shape
        shapes += [(3, 3, channels, 32), (3, 3, 32, 64)]
        features = (height // 4) * (width // 4) * 64
    for units in (*hidden, CLASSES):
        shapes.append((features, units))
        features = units
    return [
        (jnp.asarray(random.normal(0, np.prod(s[:-1]) ** -0.5, s), jnp.float32), jnp.zeros(s[-1], jnp.float32))
        for s in shapes
    ]


def convolve(x, layer, stride):
    weights, biases = layer
    x = lax.conv_general_dilated(x, weights, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x + biases)


def logits(parameters, x):
    """x is shaped [batch, input...], the logits [batch, 10]."""
    dense = parameters
    if x.ndim == 4:
        x = convolve(x, parameters[0], 1)
        x = convolve(x, parameters[1], 2)
        x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
        x = x.reshape(x.shape[0], -1)
        dense = parameters[2:]
    for weights, biases in dense[:-1]:
        x = jax.nn.relu(x @ weights + biases)
    weights, biases = dense[-1]
    return x @ weights + biases


def mean_loss(parameters, x, y):
    """Mean cross-entropy; y is shaped [batch, 1]."""
    truth = jax.nn.one_hot(y[:, 0], CLASSES)
    return -jnp.mean(jnp.sum(truth * jax.nn.log_softmax(logits(parameters, x)), axis=-1))


@functools.partial(jax.jit, donate_argnums=0)
def train_step(state, x, y):
    """One step of Adam, https://arxiv.org/abs/1412.6980, with GoMLX's constants."""
    parameters, first, second, step = state
    loss, gradients = jax.value_and_grad(mean_loss)(parameters, x, y)
    rate, beta1, beta2, epsilon = 0.001, 0.9, 0.999, 1e-7
    step = step + 1
    first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradients)
    scale1, scale2 = 1 / (1 - beta1**step), 1 / (1 - beta2**step)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * (m * scale1) / (jnp.sqrt(v * scale2) + epsilon), parameters, first, second
    )
    return (parameters, first, second, step), loss


def stamp(step):
    print(json.dumps({"step": step, "time": time.time()}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--steps", type=int, required=True, help=f"more than {WARM}")
    parser.add_argument("--read", action="store_true", help="read the loss in each step")
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    args = parser.parse_args()

    jax.config.update("jax_platforms", args.device)
    print(json.dumps({"jax": jax.__version__, "device": jax.devices()[0].device_kind}), flush=True)
    batch, shape, hidden = WORKLOADS[args.workload]
    random = np.random.default_rng(0)
    batches = [
        (
            random.standard_normal((batch, *shape), np.float32),
            random.integers(0, CLASSES, (batch, 1), np.int32),
        )
        for _ in range(DISTINCT)
    ]
    parameters = initial(0, shape, hidden)
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    state = (parameters, zeros(parameters), zeros(parameters), jnp.zeros((), jnp.float32))
    for step in range(1, args.steps + 1):
        state, loss = train_step(state, *batches[step % DISTINCT])
        if args.read:
            value = float(loss)
        if step in (1, WARM, args.steps):
            jax.block_until_ready((state, loss))  # or steps that are only queued would count as done
            stamp(step)
    value = float(loss)
    if not np.isfinite(value):
        raise SystemExit(f"training has diverged: the loss is {value}")


main()
