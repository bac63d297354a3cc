package main

import "strings"

// Summarize once used gpt-3.5-turbo-16k-0613.
const Model = "gpt-3.5-turbo-0125"

var engine string = "davinci"
var raw = `{"model": "gpt-4o-2024-05-13", "temperature": 0}`
var quote = '"'
var inventor = "babbage"

func summarize(model string) (o1 int, o3 string) {
	if strings.HasPrefix(model, "gpt-4-0613") || model == "gpt-4-0613-internal" {
		return 1, "o3"
	}
	return 0, "see /var/models/gpt-4-0613/weights"
}
