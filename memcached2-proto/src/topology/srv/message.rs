//! The messages of DNS.

use std::io;

use simple_dns::header_buffer::has_flags;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use super::SrvRecord;

/// What a name server has answered.
pub(super) enum Answer {
    Records(Vec<SrvRecord>),
    NoSuchName,
    /// It does not fit.
    Truncated,
}

const OTHER: &str = "the answer of a name server to another question";

fn wrong(error: simple_dns::SimpleDnsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(super) fn question(name: &str, id: u16) -> io::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(wrong)?;
    packet.questions.push(Question::new(name, TYPE::SRV.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(wrong)
}

pub(super) fn answer(bytes: &[u8], id: [u8; 2], name: &str) -> io::Result<Answer> {
    let is_cut = has_flags(bytes, PacketFlag::TRUNCATION).map_err(wrong)?;
    if !bytes.starts_with(&id) || !has_flags(bytes, PacketFlag::RESPONSE).map_err(wrong)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, OTHER));
    }
    if is_cut {
        // Perhaps within a record.
        return Ok(Answer::Truncated);
    }
    let packet = Packet::parse(bytes).map_err(wrong)?;
    // As the answer has it: without the dot that a name may end with.
    let name = Name::new(name).map_err(wrong)?.to_string();
    if !packet.questions.iter().all(|question| question.qname.to_string().eq_ignore_ascii_case(&name)) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, OTHER));
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Answer::NoSuchName),
        code => return Err(io::Error::other(format!("a name server has refused: {code:?}"))),
    }
    let record = |data: &RData<'_>| match data {
        RData::SRV(srv) => Some(SrvRecord {
            target: srv.target.to_string().trim_end_matches('.').to_owned(),
            port: srv.port,
            priority: srv.priority,
            weight: srv.weight,
        }),
        _ => None,
    };
    // Of another name there can be records if the name is an alias.
    let records: Vec<_> = packet.answers.iter().filter_map(|answer| record(&answer.rdata)).collect();
    Ok(if records.is_empty() { Answer::NoSuchName } else { Answer::Records(records) })
}
