# Was gpt-4-0314.
MODEL = "gpt-4-turbo"
ENGINES = %w[custom].freeze
client.completions(engine: "babbage", parameters: { author: "babbage" })
