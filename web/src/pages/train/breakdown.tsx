/** How the worst case is made up, line by line; the lines add up to the escrow. */

import { hbar } from "../../lib/money";
import { Money } from "../../ui/bits";

interface Costs {
  units: number;
  chunks: number;
  rounds: number;
  /** In tinybar, as the others are. */
  unitPrice: number;
  aggregatePrice: number;
  escrow: number;
}

export function Breakdown({ units: count, chunks, rounds, unitPrice, aggregatePrice, escrow }: Costs) {
  const work = rounds * aggregatePrice;
  const units = count * unitPrice;
  const audits = escrow - work - units;
  return (
    <div className="table-box" role="region" aria-label="How the worst case is made up" tabIndex={0}>
      <table>
        <tbody>
          <tr>
            <td>
              {count} work units: {chunks} chunks × {rounds} rounds
            </td>
            <td className="right soft">
              at most <Money of={unitPrice} /> each
            </td>
            <td className="right">
              <Money of={units} />
            </td>
          </tr>
          <tr>
            <td>{rounds} averages</td>
            <td className="right soft">
              <Money of={aggregatePrice} /> each
            </td>
            <td className="right">
              <Money of={work} />
            </td>
          </tr>
          {audits ? (
            <tr>
              <td>Audits</td>
              <td />
              <td className="right">
                <Money of={audits} />
              </td>
            </tr>
          ) : null}
          <tr>
            <td>
              <strong>Escrow</strong>
            </td>
            <td />
            <td className="right">
              <strong>{hbar(escrow)}</strong>
            </td>
          </tr>
        </tbody>
      </table>
    </div>
  );
}
