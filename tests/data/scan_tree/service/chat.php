<?php
// gpt-4-0314 is gone.
$model = 'gpt-5-2025-08-07';
$names = ['gpt-5-2025-08-07-ours' => "gpt-5-{$model}"];
