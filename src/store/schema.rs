//! The tables as diesel sees them; `migrations/` makes them.

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    users (id) {
        id -> Text,
        username -> Text,
        display_name -> Nullable<Text>,
        email -> Nullable<Text>,
        password_hash -> Nullable<Text>,
        role -> Text,
        active -> Bool,
        created_at -> BigInt,
        last_sign_in -> Nullable<BigInt>,
        max_tunnels -> Nullable<Integer>,
        max_desktops -> Nullable<Integer>,
        max_agents -> Nullable<Integer>,
        max_tokens -> Nullable<Integer>,
    }
}

diesel::table! {
    identities (provider, subject) {
        provider -> Text,
        subject -> Text,
        user_id -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    sessions (id_hash) {
        id_hash -> Text,
        user_id -> Text,
        created_at -> BigInt,
        last_used -> BigInt,
        expires_at -> BigInt,
        method -> Text,
    }
}

diesel::table! {
    audit_log (id) {
        id -> BigInt,
        at -> BigInt,
        actor -> Text,
        action -> Text,
        object -> Nullable<Text>,
        address -> Nullable<Text>,
        outcome -> Text,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    api_tokens (id) {
        id -> Text,
        user_id -> Text,
        name -> Text,
        token_hash -> Text,
        scopes -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        last_used -> Nullable<BigInt>,
    }
}

diesel::table! {
    agents (client_id) {
        client_id -> Text,
        owner_id -> Text,
        shared -> Bool,
        token_hash -> Text,
        created_at -> BigInt,
        last_seen -> Nullable<BigInt>,
        address -> Nullable<Text>,
        version -> Nullable<Text>,
    }
}

diesel::table! {
    proxies (proxy_id) {
        proxy_id -> Text,
        client_id -> Text,
        owner_id -> Text,
        name -> Nullable<Text>,
        protocol -> Text,
        remote_host -> Text,
        remote_port -> Integer,
        local_port -> Integer,
        bind -> Nullable<Text>,
        enabled -> Bool,
        allow -> Text,
        max_connections -> Nullable<Integer>,
        bytes_in -> BigInt,
        bytes_out -> BigInt,
        connections_total -> BigInt,
        dial_errors -> BigInt,
        last_dial_error -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::table! {
    desktop_types (id) {
        id -> Text,
        name -> Text,
        label -> Text,
        kind -> Text,
        image -> Text,
        port -> Integer,
        scheme -> Text,
        strip_prefix -> Bool,
        entry_path -> Text,
        basic_user -> Nullable<Text>,
        env -> Text,
        command -> Nullable<Text>,
        shm_bytes -> Nullable<BigInt>,
        cpus -> Nullable<Double>,
        memory_bytes -> Nullable<BigInt>,
        pids -> Nullable<BigInt>,
        cap_add -> Text,
        no_new_privileges -> Bool,
        seccomp -> Nullable<Text>,
        extra_hosts -> Text,
        persistent_home -> Bool,
        home_path -> Text,
        idle_limit_s -> Nullable<BigInt>,
        enabled -> Bool,
        created_at -> BigInt,
    }
}

diesel::table! {
    containers (id) {
        id -> Text,
        owner_id -> Text,
        type_id -> Text,
        proxy_path -> Text,
        status -> Text,
        reason -> Nullable<Text>,
        container_id -> Nullable<Text>,
        host_port -> Nullable<Integer>,
        subnet -> Nullable<Text>,
        address -> Nullable<Text>,
        password -> Nullable<Text>,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        stopped_at -> Nullable<BigInt>,
        last_accessed -> Nullable<BigInt>,
    }
}

diesel::joinable!(api_tokens -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(api_tokens, users);
