package com.acme;

/** Uses gpt-4-0613 by default. */
public final class Chat {
    private static final String MODEL = "gpt-4-0613";
    private final String reader = builder().modelName("o3").temperature(0.2).build();
    private static final String TEXT = """
        {"model": "gpt-4o-2024-11-20"}
        """;
    int o1 = 1, o3 = 3;
    String curie = "curie";
    String path = "C:\\models\\gpt-4-0613\\weights";
}
