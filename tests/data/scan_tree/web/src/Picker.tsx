export const Picker = () => (
  <select name="model" title="Isn't gpt-4-0613 nice?">
    <option value="gpt-4.1-mini-2025-04-14">small</option>
    <option value="gpt-4o-custom">ours</option>
    <img src="/img/o1.png" alt="davinci" className="gpt-4-card" />
  </select>
);
