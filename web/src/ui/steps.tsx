/** Where one is in a sequence. */

export function Steps({ names, now }: { names: readonly string[]; now: number }) {
  return (
    <ol className="steps" aria-label="Steps">
      {names.map((name, index) => (
        <li key={name} className={index < now ? "done" : index === now ? "now" : ""} aria-current={index === now ? "step" : undefined}>
          <span>
            {name}
            {index < now ? <span className="sr"> (done)</span> : null}
          </span>
        </li>
      ))}
    </ol>
  );
}
