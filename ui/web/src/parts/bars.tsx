/** Bars over time, drawn as SVG. */

import type { Minute } from "@mcpgateway/core/model";
import { clock, count, counted } from "@mcpgateway/core/words";

const WIDTH = 600;
const HEIGHT = 60;
const SPARK_PX = 16;

/** The calls within one step of time. */
export interface Step {
  at: string | number;
  calls: number;
  failed: number;
}

/** The minutes of the gateway's last hour as steps. */
export function steps(minutes: readonly Minute[]): Step[] {
  return minutes.map((each) => ({ at: each.minuteTs, calls: each.calls, failed: each.callErrors }));
}

/** Numbers over time in a cell of a table; the numbers beside it tell the same. */
export function Spark({ values }: { values: readonly number[] }) {
  const most = Math.max(1, ...values);
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${Math.max(1, values.length)} ${SPARK_PX}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {values.map((each, index) => {
        // A bar is seen even where one call stands beside thousands.
        const height = each && Math.max(2, (each / most) * SPARK_PX);
        return height > 0 && <rect key={index} x={index} y={SPARK_PX - height} width={1} height={height} />;
      })}
    </svg>
  );
}

/** Calls over time, a bar per step, the failed ones apart. */
export function Bars({ steps, span }: { steps: readonly Step[]; span: string }) {
  const most = Math.max(1, ...steps.map((each) => each.calls));
  const width = WIDTH / Math.max(1, steps.length);
  const total = steps.reduce((sum, each) => sum + each.calls, 0);
  const failed = steps.reduce((sum, each) => sum + each.failed, 0);
  if (!total) return <p class="empty">No tool was called in the last {span}.</p>;
  const label = `${counted(total, "call")} in the last ${span}${failed ? `, ${count(failed)} failed` : ""}; at most ${count(most)} in a bar`;
  return (
    <svg
      class="bars"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {steps.map((each, index) => {
        const height = (each.calls / most) * HEIGHT;
        const bad = (each.failed / most) * HEIGHT;
        return (
          <g key={each.at}>
            <title>{`${clock(each.at)}: ${counted(each.calls, "call")}`}</title>
            <rect x={index * width} y={0} width={width} height={HEIGHT} class="ground" />
            <rect
              x={index * width + 1}
              y={HEIGHT - height}
              width={Math.max(1, width - 2)}
              height={height}
              class="bar"
            />
            {bad > 0 && (
              <rect
                x={index * width + 1}
                y={HEIGHT - bad}
                width={Math.max(1, width - 2)}
                height={bad}
                class="bad"
              />
            )}
          </g>
        );
      })}
    </svg>
  );
}
