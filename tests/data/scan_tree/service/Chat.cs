var client = new ChatClient(model: "gpt-4.1-nano-2025-04-14", key);
var folder = @"C:\models\gpt-4-0613\";
var other = new ChatClient(deployment: "o4-mini-2025-04-16");  // not gpt-4-0314
