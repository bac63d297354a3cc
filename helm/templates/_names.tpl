{{- define "understudy.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* What everything is called; short enough that no suffix of ours takes a name beyond 63 characters. */}}
{{- define "understudy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "understudy.name" .) .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "understudy.name" .) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* What never changes in a release: selectors. */}}
{{- define "understudy.identity" -}}
app.kubernetes.io/name: {{ include "understudy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "understudy.selector" -}}
{{ include "understudy.identity" . }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "understudy.labels" -}}
{{ include "understudy.identity" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "understudy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "understudy.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "understudy.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* "statefulset" where each replica has a disk of its own that stays, else "deployment". */}}
{{- define "understudy.workload" -}}
{{ and (eq .Values.database.kind "postgresql") .Values.journal.persistence | ternary "statefulset" "deployment" }}
{{- end }}

{{/* The fewest replicas there are while all is well. */}}
{{- define "understudy.replicas" -}}
{{ .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas .Values.replicas | int }}
{{- end }}

{{- define "understudy.claimName" -}}
{{ default (printf "%s-state" (include "understudy.fullname" .)) .Values.database.sqlite.existingClaim }}
{{- end }}

{{- define "understudy.configMapName" -}}
{{ default (printf "%s-config" (include "understudy.fullname" .)) .Values.config.existingConfigMap }}
{{- end }}

{{/* "true" where nothing was configured: two routes, and the sandbox beside them. */}}
{{- define "understudy.trial" -}}
{{ not (or .Values.config.routes .Values.config.existingConfigMap) }}
{{- end }}

{{- define "understudy.routes" -}}
{{ default (.Files.Get "files/trial/routes.yaml") .Values.config.routes }}
{{- end }}

{{/* A file's key in the ConfigMap, where a path's "/" is not allowed. */}}
{{- define "understudy.fileKey" -}}
{{ . | replace "/" "__" }}
{{- end }}

{{/* A Kubernetes quantity of storage in MiB. */}}
{{- define "understudy.mib" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- if hasSuffix "Ti" . -}}{{ mul $number 1048576 }}
{{- else if hasSuffix "Gi" . -}}{{ mul $number 1024 }}
{{- else -}}{{ $number }}
{{- end -}}
{{- end }}

{{- define "understudy.graceSeconds" -}}
{{- $least := add .Values.stopping.preStopSeconds .Values.stopping.drainSeconds 10 -}}
{{ kindIs "invalid" .Values.terminationGracePeriodSeconds | ternary $least .Values.terminationGracePeriodSeconds | int64 }}
{{- end }}
