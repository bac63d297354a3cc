{{/* What the gateway is told. Everything about routes is in routes.yaml. */}}
{{- define "understudy.env" -}}
- name: GATEWAY_HOST
  value: {{ .Values.listenAddress | quote }}
- name: GATEWAY_PORT
  value: "8080"
- name: GATEWAY_ROUTES_FILE
  value: /etc/understudy/routes.yaml
{{ include "understudy.databaseEnv" . }}
- name: GATEWAY_JOURNAL_DIR
  value: /var/lib/understudy/journal
{{- with .Values.keys.callerKey }}
- name: GATEWAY_KEY
  valueFrom: {secretKeyRef: {name: {{ $.Values.keys.existingSecret | quote }}, key: {{ . | quote }}}}
{{- end }}
{{- with .Values.keys.pepperKey }}
- name: GATEWAY_KEY_PEPPER
  valueFrom: {secretKeyRef: {name: {{ $.Values.keys.existingSecret | quote }}, key: {{ . | quote }}}}
{{- end }}
{{- if .Values.keys.callerPins }}
- name: GATEWAY_KEY_PINS
  value: "true"
{{- end }}
- name: GATEWAY_ADMIN_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.keys.existingSecret | quote }}, key: {{ .Values.keys.adminKey | quote }}}}
- name: GATEWAY_DRAIN_S
  value: {{ .Values.stopping.drainSeconds | int64 | quote }}
- name: GATEWAY_LINGER_S
  value: {{ .Values.stopping.lingerSeconds | int64 | quote }}
- name: GATEWAY_MAX_BODY_BYTES
  value: {{ mul (int64 .Values.settings.maxBodyMiB) 1048576 | quote }}
- name: GATEWAY_HEADER_S
  value: {{ .Values.settings.headerSeconds | int64 | quote }}
- name: GATEWAY_BODY_S
  value: {{ .Values.settings.bodySeconds | int64 | quote }}
- name: GATEWAY_MAX_CONNECTIONS
  value: {{ .Values.settings.maxConnections | int64 | quote }}
{{- with .Values.rateLimits.existingSecret }}
- name: GATEWAY_LIMITS_URL
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.Values.rateLimits.urlKey | quote }}}}
{{- end }}
{{- with .Values.metricsPort }}
- name: GATEWAY_METRICS_HOST
  value: {{ $.Values.listenAddress | quote }}
- name: GATEWAY_METRICS_PORT
  value: {{ . | int64 | quote }}
{{- end }}
- name: GATEWAY_LOG_LEVEL
  value: {{ .Values.settings.logLevel | quote }}
{{- with .Values.settings.logRequests }}
- name: GATEWAY_LOG_REQUESTS
  value: {{ . | quote }}
{{- end }}
{{- if .Values.settings.uiActions }}
- name: GATEWAY_UI_ACTIONS
  value: "true"
{{- end }}
{{- with .Values.settings.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.settings.keyResidency }}
- name: GATEWAY_KEY_RESIDENCY
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "understudy.databaseEnv" -}}
- name: GATEWAY_DATABASE_URL
{{- if eq .Values.database.kind "sqlite" }}
  value: sqlite:////var/lib/understudy/gateway.db
{{- else }}
  valueFrom: {secretKeyRef: {name: {{ .Values.database.postgresql.existingSecret | quote }}, key: {{ .Values.database.postgresql.urlKey | quote }}}}
{{- end }}
{{- end }}

{{/* The same in a Job and in an init container. It needs the database's URL, and no keys. */}}
{{- define "understudy.migrateContainer" -}}
name: migrate
image: {{ include "understudy.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [gateway, migrate]
env:
  {{- include "understudy.databaseEnv" . | nindent 2 }}
resources:
  requests: {cpu: 100m, memory: 128Mi}
  limits: {memory: 512Mi}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "understudy.podTemplate" -}}
metadata:
  labels:
    {{- include "understudy.selector" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: gateway
    {{- if and (eq .Values.config.reload "rollout") (not .Values.config.existingConfigMap) }}
    checksum/config: {{ dict "routes" (include "understudy.routes" .) "files" .Values.config.files | toJson | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "understudy.serviceAccountName" . }}
  automountServiceAccountToken: false
  # Kubernetes would set GATEWAY_PORT for a Service named gateway.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "understudy.graceSeconds" . }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "understudy.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- $trial := eq (include "understudy.trial" .) "true" }}
  {{- $migrates := and (eq .Values.database.kind "postgresql") (eq .Values.migration.mode "initContainer") }}
  {{- if or $trial $migrates .Values.extraInitContainers }}
  initContainers:
    {{- with .Values.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if $migrates }}
    - {{ include "understudy.migrateContainer" . | nindent 6 | trim }}
    {{- end }}
    {{- if $trial }}
    # The stand-in provider of the trial. It ends after the gateway, so that running answers end first.
    - name: sandbox
      image: {{ include "understudy.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      restartPolicy: Always
      command: [gateway, sandbox, --host, "127.0.0.1", --port, "8081"]
      resources:
        requests: {cpu: 50m, memory: 128Mi}
        limits: {memory: 512Mi}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
    {{- end }}
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "understudy.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [gateway, serve]
      ports:
        - {name: http, containerPort: 8080}
        {{- with .Values.metricsPort }}
        - {name: metrics, containerPort: {{ . | int64 }}}
        {{- end }}
      env:
        {{- include "understudy.env" . | nindent 8 }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or .Values.providerKeys.fromSecrets .Values.extraEnvFrom }}
      envFrom:
        {{- range .Values.providerKeys.fromSecrets }}
        - secretRef: {name: {{ . | quote }}}
        {{- end }}
        {{- with .Values.extraEnvFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        {{- toYaml .Values.probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      {{- with .Values.stopping.preStopSeconds }}
      lifecycle:
        preStop:
          exec: {command: [sleep, {{ . | int64 | quote }}]}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        # The whole directory: a file mounted by itself would never change.
        - {name: config, mountPath: /etc/understudy, readOnly: true}
        - {name: state, mountPath: /var/lib/understudy}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.providerKeys.filesFromSecret }}
        - {name: provider-keys, mountPath: /etc/understudy-keys, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      projected:
        sources:
          - configMap:
              name: {{ include "understudy.configMapName" . }}
              {{- if .Values.config.existingConfigMap }}
              {{- with .Values.config.existingItems }}
              items:
                - {key: routes.yaml, path: routes.yaml}
                {{- toYaml . | nindent 16 }}
              {{- end }}
              {{- else }}
              items:
                - {key: routes.yaml, path: routes.yaml}
                {{- range $path, $_ := .Values.config.files }}
                - {key: {{ include "understudy.fileKey" $path }}, path: {{ $path }}}
                {{- end }}
              {{- end }}
          {{- with .Values.config.extraSources }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
    {{- if eq .Values.database.kind "sqlite" }}
    - name: state
      persistentVolumeClaim: {claimName: {{ include "understudy.claimName" . }}}
    {{- else if not .Values.journal.persistence }}
    # Survives a container, not the pod.
    - name: state
      emptyDir: {sizeLimit: {{ .Values.journal.size }}}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- with .Values.providerKeys.filesFromSecret }}
    - name: provider-keys
      secret: {secretName: {{ . | quote }}}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
