{{/* What values.schema.json cannot say: values that do not go together. All of it at once, each with its way out. */}}
{{- define "understudy.checks" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}

{{- if not $v.image.repository -}}
{{- $wrong = append $wrong "image.repository is empty: no registry has this image; build it from the repository's Dockerfile, push it, and name it here" -}}
{{- end -}}
{{- if not $v.keys.existingSecret -}}
{{- $wrong = append $wrong (printf "keys.existingSecret is empty: the gateway refuses to be reached from other machines without keys; create a Secret with %s and %s, and name it here" $v.keys.callerKey $v.keys.adminKey) -}}
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
{{- range $v.extraEnv -}}
{{- $name := .name -}}
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
