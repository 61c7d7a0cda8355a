/** The field that filters a table; `/` moves the focus to it. */

export function Filter(props: { query: string; onQuery: (query: string) => void; what: string }) {
  return (
    <input
      type="search"
      class="filter"
      placeholder={`Filter ${props.what}`}
      aria-label={`Filter ${props.what}`}
      aria-keyshortcuts="/"
      value={props.query}
      onInput={(event) => props.onQuery(event.currentTarget.value)}
    />
  );
}
