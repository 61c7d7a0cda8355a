/** Where the time of a call went: its phases, one below the other, hatched where it waited for its client. */

import { type Bar, type OneCall, waterfall } from "@mcpgateway/core/calls";
import { milliseconds } from "@mcpgateway/core/words";

const WIDTH = 1000;
const HEIGHT = 14;

export function Waterfall({ call }: { call: OneCall }) {
  const bars = waterfall(call);
  if (!bars.length) return <p class="empty">No times of this call are known.</p>;
  return (
    <div class="rows" tabIndex={0} role="region" aria-label="Phases">
      <svg width="0" height="0" class="unseen" aria-hidden="true">
        <pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="3" height="8" class="hatch" />
        </pattern>
      </svg>
      <table class="waterfall">
        <thead>
          <tr>
            <th scope="col">Phase</th>
            <th scope="col">Time</th>
            <th scope="col" class="number">
              Began after
            </th>
            <th scope="col" class="number">
              Took
            </th>
            <th scope="col" class="minor">
              The call
            </th>
          </tr>
        </thead>
        <tbody>
          {bars.map((each, index) => (
            <Row key={index} bar={each} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ bar }: { bar: Bar }) {
  return (
    <tr>
      <th scope="row" class={bar.isWaiting ? "inner" : undefined}>
        {bar.name}
      </th>
      <td class="span">
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          <rect
            x={bar.left * WIDTH}
            width={bar.width * WIDTH}
            height={HEIGHT}
            class={bar.isWaiting ? "waiting" : "bar"}
            fill={bar.isWaiting ? "url(#hatch)" : undefined}
          />
        </svg>
      </td>
      <td class="number" data-title="Began after">
        {precise(bar.at)}
      </td>
      <td class="number" data-title="Took">
        {precise(bar.ms)}
      </td>
      <td class="quiet minor">{bar.what}</td>
    </tr>
  );
}

function precise(value: number): string {
  return value < 10
    ? `${value.toLocaleString(undefined, { maximumSignificantDigits: 2 })} ms`
    : milliseconds(value);
}
