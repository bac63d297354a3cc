{{/* What values.schema.json cannot say: values that do not go together. All of it at once, each with its way out. */}}
{{- define "understudy.checks" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}

{{- if not $v.image.repository -}}
{{- $wrong = append $wrong "image.repository is empty: no registry has this image; build it from the repository's Dockerfile, push it, and name it here" -}}
{{- end -}}
{{- if not $v.keys.existingSecret -}}
{{- $wrong = append $wrong (printf "keys.existingSecret is empty: the gateway refuses to be reached from other machines without keys; create a Secret with %s and %s, and name it here" (default $v.keys.pepperKey $v.keys.callerKey | default "GATEWAY_KEY") $v.keys.adminKey) -}}
{{- end -}}
{{- with $v.keys -}}
{{- if not (or .callerKey .pepperKey) -}}
{{- $wrong = append $wrong "keys.callerKey and keys.pepperKey are both empty: nobody could call; set pepperKey for keys with owners and limits, callerKey for one that all callers share, or both" -}}
{{- end -}}
{{- if and .callerPins (not .callerKey) -}}
{{- $wrong = append $wrong "keys.callerPins is a property of the callers' key, and keys.callerKey is empty: say it of each key instead (gateway keys create --pins)" -}}
{{- end -}}
{{- if and $v.settings.keyResidency (not .callerKey) -}}
{{- $wrong = append $wrong "settings.keyResidency is a property of the callers' key, and keys.callerKey is empty: say it of each key instead (gateway keys create --residency)" -}}
{{- end -}}
{{- if and .observerKey (not .pepperKey) -}}
{{- $wrong = append $wrong "keys.observerKey without keys.pepperKey: an observer's key is one of those that need the pepper" -}}
{{- end -}}
{{- if and $v.monitoring.enabled (ne $v.monitoring.monitor "none") (not $v.metricsPort) (not (or .callerKey .observerKey)) -}}
{{- $wrong = append $wrong "monitoring.enabled, and nothing opens /metrics: set metricsPort, or put an observer's key (gateway keys create --role observer) into the Secret and name it in keys.observerKey" -}}
{{- end -}}
{{- $names := dict -}}
{{- range $value := list "callerKey" "adminKey" "pepperKey" "observerKey" -}}
{{- with get $v.keys $value -}}
{{- if hasKey $names . -}}
{{- $wrong = append $wrong (printf "keys.%s and keys.%s are both %s: one secret in two places" (get $names .) $value .) -}}
{{- end -}}
{{- $_ := set $names . $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if eq $v.database.kind "sqlite" -}}
{{- if $v.autoscaling.enabled -}}
{{- $wrong = append $wrong "autoscaling.enabled with SQLite: its file serves one replica; set database.kind to postgresql" -}}
{{- end -}}
{{- if gt (int $v.replicas) 1 -}}
{{- $wrong = append $wrong (printf "replicas is %d with SQLite: its file serves one replica; set database.kind to postgresql" (int $v.replicas)) -}}
{{- end -}}
{{- if and $v.strategy.type (ne $v.strategy.type "Recreate") -}}
{{- $wrong = append $wrong (printf "strategy.type is %s with SQLite: two pods would write one file; leave it empty, or Recreate" $v.strategy.type) -}}
{{- end -}}
{{- else -}}
{{- if not $v.database.postgresql.existingSecret -}}
{{- $wrong = append $wrong (printf "database.postgresql.existingSecret is empty: create a Secret whose %s is the database's URL, and name it here" $v.database.postgresql.urlKey) -}}
{{- end -}}
{{- if and (eq (include "understudy.workload" .) "statefulset") $v.strategy.type (not (has $v.strategy.type (list "RollingUpdate" "OnDelete"))) -}}
{{- $wrong = append $wrong (printf "strategy.type is %s: with journal.persistence this is a StatefulSet, which knows RollingUpdate and OnDelete" $v.strategy.type) -}}
{{- end -}}
{{- if and (eq (include "understudy.workload" .) "deployment") (eq (default "" $v.strategy.type) "OnDelete") -}}
{{- $wrong = append $wrong "strategy.type is OnDelete: without journal.persistence this is a Deployment, which knows RollingUpdate and Recreate" -}}
{{- end -}}
{{- end -}}

{{- $least := add $v.stopping.preStopSeconds $v.stopping.drainSeconds 10 -}}
{{- if not (kindIs "invalid" $v.terminationGracePeriodSeconds) -}}
{{- if lt (int64 $v.terminationGracePeriodSeconds) (int64 $least) -}}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds is %d: the gateway would be killed while it stops; it needs %d (preStopSeconds %d + drainSeconds %d + 10), or leave it empty" (int64 $v.terminationGracePeriodSeconds) $least (int64 $v.stopping.preStopSeconds) (int64 $v.stopping.drainSeconds)) -}}
{{- end -}}
{{- end -}}
{{- if gt (int64 $v.stopping.lingerSeconds) (int64 $v.stopping.drainSeconds) -}}
{{- $wrong = append $wrong (printf "stopping.lingerSeconds is %d, longer than stopping.drainSeconds (%d), within which it lies" (int64 $v.stopping.lingerSeconds) (int64 $v.stopping.drainSeconds)) -}}
{{- end -}}

{{- $replicas := int (include "understudy.replicas" .) -}}
{{- if $v.autoscaling.enabled -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- $wrong = append $wrong (printf "autoscaling.minReplicas is %d, more than autoscaling.maxReplicas (%d)" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $v.resources) -}}
{{- $wrong = append $wrong "autoscaling.enabled without resources.requests.cpu: the share of processor time is counted from it" -}}
{{- end -}}
{{- end -}}
{{- with $v.podDisruptionBudget -}}
{{- if .enabled -}}
{{- $least := .minAvailable -}}
{{- if and (not (kindIs "invalid" $least)) (not (kindIs "invalid" .maxUnavailable)) -}}
{{- $wrong = append $wrong "podDisruptionBudget has minAvailable and maxUnavailable: set one of them to null" -}}
{{- end -}}
{{- if and (kindIs "invalid" $least) (kindIs "invalid" .maxUnavailable) -}}
{{- $wrong = append $wrong "podDisruptionBudget has neither minAvailable nor maxUnavailable: set one, or podDisruptionBudget.enabled to false" -}}
{{- end -}}
{{- if or (eq (toString .maxUnavailable) "0") (eq (toString .maxUnavailable) "0%") (eq (toString $least) "100%") -}}
{{- $wrong = append $wrong "podDisruptionBudget lets no pod go: no node could ever be drained" -}}
{{- else if not (kindIs "invalid" $least) -}}
{{- /* Kubernetes rounds a share up. */ -}}
{{- $kept := kindIs "string" $least | ternary (div (add (mul (trimSuffix "%" (toString $least) | int) $replicas) 99) 100) (int64 (toString $least)) | int -}}
{{- if ge $kept $replicas -}}
{{- $wrong = append $wrong (printf "podDisruptionBudget.minAvailable keeps %d of %d replicas: no node could ever be drained" $kept $replicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- with $v.config -}}
{{- if and .existingConfigMap (or .routes .files) -}}
{{- $wrong = append $wrong "config.existingConfigMap is in the place of config.routes and config.files: set one or the other" -}}
{{- end -}}
{{- if and .existingItems (not .existingConfigMap) -}}
{{- $wrong = append $wrong "config.existingItems belongs to config.existingConfigMap, which is empty" -}}
{{- end -}}
{{- if and .files (not .routes) -}}
{{- $wrong = append $wrong "config.files without config.routes: nothing would name them" -}}
{{- end -}}
{{- $keys := dict -}}
{{- $bytes := len .routes -}}
{{- range $path, $text := .files -}}
{{- $key := include "understudy.fileKey" $path -}}
{{- if hasKey $keys $key -}}
{{- $wrong = append $wrong (printf "config.files: %s and %s would be one key of the ConfigMap; rename one" (get $keys $key) $path) -}}
{{- end -}}
{{- if or (eq $path "routes.yaml") (has ".." (splitList "/" $path)) (has "." (splitList "/" $path)) -}}
{{- $wrong = append $wrong (printf "config.files: %s is no path for a file beside routes.yaml" $path) -}}
{{- end -}}
{{- $_ := set $keys $key $path -}}
{{- $bytes = add $bytes (len $text) -}}
{{- end -}}
{{- if gt (int64 $bytes) 1000000 -}}
{{- $wrong = append $wrong (printf "config.routes and config.files are %d bytes, and a ConfigMap takes 1 MiB: put packs into the database (gateway pack push), or other files into ConfigMaps of their own (config.extraSources)" (int64 $bytes)) -}}
{{- end -}}
{{- end -}}

{{- $routes := include "understudy.routes" . | fromYaml -}}
{{- if hasKey $routes "Error" -}}
{{- $wrong = append $wrong (printf "config.routes cannot be read: it takes the text of routes.yaml (--set-file config.routes=routes.yaml): %s" (get $routes "Error")) -}}
{{- else if not (hasKey $routes "version") -}}
{{- $wrong = append $wrong "config.routes has no version: it takes the text of routes.yaml (--set-file config.routes=routes.yaml)" -}}
{{- end -}}
{{- $ledger := get $routes "ledger" | kindIs "map" | ternary (get $routes "ledger") dict -}}
{{- $limit := dig "journal_mib" 1024 $ledger | int64 -}}
{{- $disk := ternary "database.sqlite.size" "journal.size" (eq $v.database.kind "sqlite") -}}
{{- $size := ternary $v.database.sqlite.size $v.journal.size (eq $v.database.kind "sqlite") -}}
{{- if lt (int64 (include "understudy.mib" $size)) (add $limit 256) -}}
{{- $wrong = append $wrong (printf "%s is %s, and the journal alone may take %d MiB (ledger.journal_mib in routes.yaml): give it at least %dMi" $disk $size $limit (add $limit 256)) -}}
{{- end -}}

{{- $ours := include "understudy.env" . | fromYamlArray -}}
{{- $held := dict "GATEWAY_KEY" "keys.callerKey" "GATEWAY_KEY_PEPPER" "keys.pepperKey" "GATEWAY_LIMITS_URL" "rateLimits.existingSecret" -}}
{{- range $v.extraEnv -}}
{{- $name := .name -}}
{{- if eq $name "GATEWAY_OPEN" -}}
{{- $wrong = append $wrong "extraEnv has GATEWAY_OPEN: whoever reaches the Service could spend your providers' money; give callers keys instead (keys.callerKey, keys.pepperKey)" -}}
{{- end -}}
{{- if and (hasKey $held $name) .value -}}
{{- $wrong = append $wrong (printf "extraEnv has %s as a text, and it is a secret: put it into a Secret (%s)" $name (get $held $name)) -}}
{{- end -}}
{{- range $ours -}}
{{- if eq .name $name -}}
{{- $wrong = append $wrong (printf "extraEnv has %s, which the chart sets itself: use its own value in values.yaml" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if eq (toString $v.metricsPort) "8080" -}}
{{- $wrong = append $wrong "metricsPort is 8080, where callers are served: choose another" -}}
{{- else if and (eq (toString $v.metricsPort) "8081") (eq (include "understudy.trial" .) "true") -}}
{{- $wrong = append $wrong "metricsPort is 8081, where the trial's sandbox listens: choose another" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.enabled without ingress.hosts: name the host that applications call" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "httpRoute.enabled without httpRoute.parentRefs: name the Gateway that it belongs to" -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values do not work:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end }}
